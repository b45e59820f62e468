"""Servers in this process, without a socket, and runs to serve."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
httpx = pytest.importorskip("httpx", reason="httpx is not installed")

from mtl_cli.serving.access import Access  # noqa: E402
from mtl_cli.serving.application import make_app  # noqa: E402
from mtl_cli.serving.limits import Limits  # noqa: E402
from mtl_cli.serving.served import Models  # noqa: E402
from mtl_cli.serving.state import State  # noqa: E402

HOUSE = {"area": 80.5, "rooms": 3, "city": "Oslo", "garden": True, "built": "2001-02-03"}


class Server:
    """A server whose requests are sent to its application itself.

    Parameters
    ----------
    runs : mapping of str to Path
    token : str, optional
    limits : int or float
        As those of ``Limits``.
    """

    def __init__(self, runs: Mapping[str, Path], token: str | None = None, **limits: Any) -> None:
        self.lines: list[str] = []
        models = Models({name: str(path) for name, path in runs.items()})
        self.state = State(models, Limits(**limits), Access(token), self.lines.append)
        self.app = make_app(self.state)
        self.state.batcher.start()

    def close(self) -> None:
        self.state.batcher.close()

    def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run a coroutine of a client, and return what it returns."""

        async def inside() -> Any:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=60) as client:
                return await work(client)

        return asyncio.run(inside())

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Send one request, and return the response."""
        return self.run(lambda client: client.request(method, path, **options))

    def post(self, rows: Any, path: str = "/predict", **options: Any) -> Any:
        """Send rows as JSON, or a body as it is."""
        body = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
        headers = {"Content-Type": "application/json"} | options.pop("headers", {})
        return self.ask("POST", path, content=body, headers=headers, **options)


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Make servers, and close them."""
    made: list[Server] = []

    def make(*args: Any, **options: Any) -> Server:
        made.append(Server(*args, **options))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture(scope="session")
def wine_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on wine."""
    from mtl_cli.cli.main import run

    folder = tmp_path_factory.mktemp("wine") / "run"
    short = ["trainer.epochs=2", "plots=false", "tasks.quality.interval=0.9"]
    assert run(["train", "dataset=wine", *short, f"run_dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="session")
def shared(houses_run: Path, wine_run: Path) -> Iterator[Server]:
    """A server of the houses and of wine, for tests that change nothing."""
    server = Server({"houses": houses_run, "wine": wine_run})
    yield server
    server.close()
