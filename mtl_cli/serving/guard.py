"""What every request passes: who asks, headers for browsers, and the count."""

from __future__ import annotations

import time

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mtl_cli.serving.access import Access
from mtl_cli.serving.limits import HTTPError
from mtl_cli.serving.metrics import Metrics

OPEN = ("/health", "/health/live")
"""What is answered without a token, and under any name: a load balancer asks."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""A page loads nothing of others, is in no frame of theirs, and sends no form."""


def told(error: HTTPError) -> JSONResponse:
    """Return an error as an answer."""
    return JSONResponse(error.content(), error.status, error.headers)


class Guard:
    """The outermost application.

    Parameters
    ----------
    app : application
        What answers a request that may be answered.
    access : Access
    metrics : Metrics
    """

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics) -> None:
        self.app, self.access, self.metrics = app, access, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            self._check(scope)
        except HTTPError as error:
            await told(error)(scope, receive, counted)
        else:
            await self.app(scope, receive, counted)
        finally:
            route = scope.get("route")
            path = "other" if route is None else str(route.path)
            self.metrics.answered(path, status, time.perf_counter() - begin)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if scope["path"] not in OPEN:
            self.access.check(headers)
        if scope["method"] != "GET":
            self.access.check_origin(headers)
