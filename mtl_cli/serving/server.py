"""The process of a server: its socket, its loop, signals, and slow connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mtl_cli import signals
from mtl_cli.config.errors import UserError
from mtl_cli.serving.application import make_app
from mtl_cli.serving.state import State

HEAD_SECONDS = 10.0
"""In which the head of a request must have come."""
KEEP_ALIVE = 15
"""Seconds that a connection may wait for its next request."""
SPARE = 64
"""Files that are left open for other things than connections."""
MOST_CONNECTIONS = 4096
TICK = 0.1
"""Seconds between looks at whether a signal came."""


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound. Raises UserError if it cannot be."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UserError("--host", f"'{host}' is not an address: {error}") from error
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
    except OSError as error:
        found.close()
        if isinstance(error, PermissionError) or port == 0:
            raise UserError("--port", f"{port} of {host} cannot be used: {error.strerror}") from error
        what = f"{port} of {host} cannot be used: {(error.strerror or str(error)).lower()}"
        raise UserError("--port", what, "give another, or 0 for a free one") from error
    return found


def address_of(bound: socket.socket) -> str:
    """Return where a browser finds a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class PatientProtocol(H11Protocol):
    """Connections that are closed if the head of a request does not come in time; bodies are seen to elsewhere."""

    _hurry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """Begin to wait for the head of a request if none is in hand; else there is nothing to wait for."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._hurry is None:
            self._hurry = self.loop.call_later(HEAD_SECONDS, self._close)

    def on_response_complete(self) -> None:
        self._forget()
        super().on_response_complete()

    def _close(self) -> None:
        self._hurry = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _forget(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None


class _Server(uvicorn.Server):
    """A server whose signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(state: State, bound: socket.socket, ready: Callable[[], object]) -> None:
    """Answer requests until a signal comes, then those in hand.

    Parameters
    ----------
    state : State
    bound : socket
    ready : callable
        Called when requests are taken.
    """
    _quiet(state.log)
    config = uvicorn.Config(
        make_app(state), http=PatientProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=KEEP_ALIVE, backlog=2048,
        limit_concurrency=_connections(), timeout_graceful_shutdown=int(state.limits.stopping) + 1,
    )  # fmt: skip
    loops: list[asyncio.AbstractEventLoop] = []

    def reload() -> None:
        for loop in loops:
            loop.call_soon_threadsafe(_reload, state, loop)

    state.batcher.start()
    try:
        with signals.serving(reload, state.limits.stopping + 5):
            asyncio.run(_run(_Server(config), state, bound, ready, loops))
    finally:
        state.batcher.close()


async def _run(
    server: uvicorn.Server,
    state: State,
    bound: socket.socket,
    ready: Callable[[], object],
    loops: list[asyncio.AbstractEventLoop],
) -> None:
    loop = asyncio.get_running_loop()
    work = loop.create_task(server.serve(sockets=[bound]))
    while not work.done():
        if server.started and not loops:
            loops.append(loop)
            ready()
        if signals.came() and not state.stopping:
            state.stopping = True
            state.log(f"stopping, {len(state.batcher.waiting)} requests wait")
            state.batcher.hurry()
            server.should_exit = True
        await asyncio.sleep(TICK)
    loops.clear()
    work.result()
    await asyncio.to_thread(state.batcher.close)
    state.log("stopped")


_tasks: set[asyncio.Task[Any]] = set()


def _reload(state: State, loop: asyncio.AbstractEventLoop) -> None:
    task = loop.create_task(state.reload())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _connections() -> int:
    """Return how many connections the limit on open files leaves."""
    try:
        import resource
    except ImportError:  # Windows
        return MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(MOST_CONNECTIONS, wanted if soft == resource.RLIM_INFINITY else soft) - SPARE


class _Lines(logging.Handler):
    """Tells what uvicorn has to say of its own faults, a line each."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log(f"error: {self.format(record)}")


def _quiet(log: Callable[[str], None]) -> None:
    """Have uvicorn's logger tell errors alone."""
    logger = logging.getLogger("uvicorn.error")
    logger.handlers, logger.propagate, logger.disabled = [_Lines(log)], False, False
    logger.setLevel(logging.ERROR)
