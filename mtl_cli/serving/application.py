"""The addresses of a server: rows in, rows out, what it has and how it is."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mtl_cli import __version__
from mtl_cli.serving.body import Body, in_time
from mtl_cli.serving.described import described
from mtl_cli.serving.guard import Guard, told
from mtl_cli.serving.jobs import Job
from mtl_cli.serving.limits import HTTPError, refused
from mtl_cli.serving.openapi import openapi
from mtl_cli.serving.page.write import FILES, static, to_html
from mtl_cli.serving.rows import CSV, JSON, TYPES
from mtl_cli.serving.served import Models, Served
from mtl_cli.serving.state import State


def make_app(state: State) -> FastAPI:
    """Return the application. Its batcher is started and closed by who runs it."""
    app = FastAPI(title="mtl serve", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    routes = Routes(state)
    get, post = {"methods": ["GET"], "include_in_schema": False}, {"methods": ["POST"], "include_in_schema": False}
    for path, endpoint in (
        ("/", routes.page),
        ("/static/{name}", routes.static),
        ("/health", routes.health),
        ("/health/live", routes.live),
        ("/metrics", routes.metrics),
        ("/openapi.json", routes.openapi),
        ("/models", routes.models),
        ("/models/{name}", routes.model),
    ):
        app.add_api_route(path, endpoint, **get)  # type: ignore[arg-type]
    for path, answer in (
        ("/predict", routes.predict),
        ("/models/{name}/predict", routes.predict),
        ("/models/{name}/importance", routes.importance),
        ("/reload", routes.reload),
    ):
        app.add_api_route(path, answer, **post)  # type: ignore[arg-type]
    app.add_middleware(Guard, access=state.access, metrics=state.metrics)
    app.add_exception_handler(HTTPError, _of_us)
    app.add_exception_handler(HTTPException, _of_routing)
    return app


async def _of_us(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPError)
    return told(error)


async def _of_routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return told(refused(error.status_code, request.url.path, str(error.detail).lower()))


class Routes:
    """What is done at each address.

    Parameters
    ----------
    state : State
    """

    def __init__(self, state: State) -> None:
        self.state = state

    def served(self, name: str | None) -> Served:
        """Return the model of a name, or the only one. Raises HTTPError if there is none such."""
        models = self.state.models
        if name is None:
            if len(models.found) > 1:
                raise refused(
                    404, "/predict", "there are several models", f"POST /models/NAME/predict: {_names(models)}"
                )
            return models.first
        try:
            return models[name]
        except KeyError:
            raise refused(404, f"/models/{name}", "there is no such model", models.near(name)) from None

    async def predict(self, request: Request) -> Response:
        """Predict the rows of a request's body."""
        state, limits = self.state, self.state.limits
        begin = time.monotonic()
        served = self.served(request.path_params.get("name"))
        form, answer, every = _form(request), _answer(request), _every(request)
        if state.stopping:
            raise refused(503, "server", "is stopping", retry_after="1")
        deadline = begin + limits.seconds
        async with Body(request, limits.body, state.held) as body:
            content = await body.read(deadline)
            result = asyncio.get_running_loop().create_future()
            state.batcher.submit(Job(served, content, form, answer, every, deadline, result))
            found = await in_time(result, deadline, 504, f"took longer than {limits.seconds:g} seconds")
        return Response(found, media_type=answer)

    async def page(self, request: Request) -> Response:
        """Show the page to try a model by hand."""
        models = self.state.models
        served = self.served(request.query_params.get("model") or models.first.name)
        return Response(to_html(served, list(models.found), self.state.limits), media_type="text/html")

    async def static(self, name: str) -> Response:
        """Return a file of the page."""
        if name not in FILES:
            raise refused(404, f"/static/{name}", "there is no such file")
        return Response(static(name), media_type=FILES[name])

    async def live(self) -> Response:
        """Say that the process answers."""
        return JSONResponse({"live": True})

    async def health(self) -> Response:
        """Say whether rows are taken."""
        ready = not self.state.stopping
        return JSONResponse({"live": True, "ready": ready}, 200 if ready else 503)

    async def metrics(self) -> Response:
        """Return the metrics."""
        return Response(self.state.metrics.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self) -> Response:
        """Return the description of all addresses and models."""
        return JSONResponse(openapi(self.state.models.found, self.state.limits, self.state.access.token is not None))

    async def models(self) -> Response:
        """Describe the models in short."""
        return JSONResponse(
            {"models": [{"name": n, "tasks": list(s.tasks)} for n, s in self.state.models.found.items()]}
        )

    async def model(self, name: str) -> Response:
        """Describe a model: its fields and tasks."""
        return JSONResponse(described(self.served(name)))

    async def importance(self, name: str) -> Response:
        """Return what each feature is worth to each task, if that is found soon."""
        from mtl_cli.serving.importance import importance_of

        return JSONResponse(await importance_of(self.served(name), self.state.explaining))

    async def reload(self, request: Request) -> Response:
        """Load all models again."""
        self.state.access.check_token(request.headers)
        error = await self.state.reload()
        if error is not None:
            raise HTTPError.of(error, 409)
        return JSONResponse({"models": list(self.state.models.found)})


def _names(models: Models) -> str:
    return ", ".join(models.found)


def _form(request: Request) -> str:
    form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if form not in TYPES:
        raise refused(415, "Content-Type", f"'{form}' is not read", f"one of {', '.join(TYPES)}")
    return form


def _answer(request: Request) -> str:
    return CSV if CSV in request.headers.get("accept", "").lower() else JSON


def _every(request: Request) -> bool:
    given: Any = request.query_params.get("probabilities", "predicted")
    if given not in ("predicted", "all"):
        raise refused(422, "probabilities", f"'{given[:40]}' is none", "predicted or all")
    return bool(given == "all")
