"""The body of a request, read within limits of size and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from mtl_cli.serving.limits import HTTPError, refused


@dataclass
class Held:
    """The bytes of all bodies that a server holds.

    Parameters
    ----------
    most : int
    bytes : int
    """

    most: int
    bytes: int = 0


class Body:
    """A body, whose bytes are held inside the block.

    Parameters
    ----------
    request : Request
    most : int
        Its bytes.
    held : Held
    """

    def __init__(self, request: Request, most: int, held: Held) -> None:
        self._request, self._most, self._held, self._own = request, most, held, 0

    async def __aenter__(self) -> Body:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._held.bytes -= self._own

    async def read(self, deadline: float) -> bytes:
        """Return it. Raises HTTPError if it is too large, or does not come until then."""
        said = self._request.headers.get("content-length", "")
        if said.isdecimal() and int(said) > self._most:
            raise self._too_large()
        try:
            return await in_time(self._all(), deadline, 408, "came too slowly")
        except ClientDisconnect:  # nobody reads the answer, but it is counted
            raise refused(400, "body", "was cut off") from None

    async def _all(self) -> bytes:
        pieces: list[bytes] = []
        async for piece in self._request.stream():
            self._own += len(piece)
            self._held.bytes += len(piece)
            if self._own > self._most:
                raise self._too_large()
            if self._held.bytes > self._held.most:
                raise refused(429, "server", "holds as much as it may", "try again in a second", retry_after="1")
            pieces.append(piece)
        return b"".join(pieces)

    def _too_large(self) -> HTTPError:
        return refused(
            413, "body", f"is larger than {self._most:,} bytes", "send fewer rows at once", connection="close"
        )


async def in_time(work: Awaitable[bytes], deadline: float, status: int, what: str) -> bytes:
    """Return what something gives on the clock of ``time.monotonic``. Raises HTTPError if it is too late."""
    try:
        return await asyncio.wait_for(work, max(deadline - time.monotonic(), 0.001))
    except TimeoutError:
        raise refused(status, "request", what, connection="close") from None
