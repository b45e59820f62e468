"""A server as a process: signals, ports, load, clients that dawdle, memory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MTL, InProcess
from tests.serving.conftest import HOUSE, httpx

BODY = json.dumps([HOUSE]).encode()
JSON = {"Content-Type": "application/json"}
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
"""Of a request whose body does not come."""


class Process:
    """A server that was started."""

    def __init__(self, words: tuple[str, ...], environment: dict[str, str]) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [MTL, "serve", *words, "--port", "0"], stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        line = self.wait_for(r" at http://\S+:(\d+)/$")
        self.port = int(line[1])
        self.address = f"http://127.0.0.1:{self.port}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait for a line on stderr."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in list(self.lines):
                if found := re.search(pattern, line):
                    return found
            if self.process.poll() is not None:
                self._reader.join(5)
                if not any(re.search(pattern, line) for line in self.lines):
                    raise AssertionError(f"ended with {self.process.returncode}: {self.lines}")
            time.sleep(0.02)
        raise AssertionError(f"no {pattern} in {self.lines}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def memory(self) -> int:
        """Return the bytes of memory that it takes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", text)[1])  # type: ignore[index]


@contextmanager
def started(*words: str, **environment: str) -> Iterator[Process]:
    """Start a server, and see that it is gone afterwards."""
    made = Process(words, environment)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait()


@pytest.fixture(scope="module")
def server(houses_run: Path) -> Iterator[Process]:
    """One that lives for all tests that end none."""
    with started(str(houses_run), "--timeout", "300") as made:
        yield made


@pytest.mark.parametrize(
    ("number", "status", "last"),
    [
        (signal.SIGTERM, 143, "mtl: terminated"),
        pytest.param(signal.SIGINT, 130, "mtl serve: interrupted", marks=pytest.mark.slow),
    ],
)
def test_what_is_in_hand_is_answered_before_the_end(
    number: int, status: int, last: str, houses_run: Path, wine_run: Path
) -> None:
    patient = ("--batch-wait", "60000", "--timeout", "120")
    with started(f"a={houses_run}", str(wine_run), *patient) as made:
        found: list[int] = []

        def ask() -> None:
            path = f"{made.address}/models/a/predict"
            found.append(httpx.post(path, content=BODY, headers=JSON, timeout=120).status_code)

        askers = [threading.Thread(target=ask) for _ in range(40)]
        for asker in askers:
            asker.start()
        while "mtl_queue_requests 40.0" not in httpx.get(f"{made.address}/metrics", timeout=60).text:
            time.sleep(0.05)
        assert made.end(number) == status
        for asker in askers:
            asker.join()
        assert found == [200] * 40
        made.wait_for(re.escape(last))
        assert [line.split(",")[0] for line in made.lines[-3:]] == ["mtl serve: stopping", "mtl serve: stopped", last]


@pytest.mark.slow
def test_sighup_loads_the_runs_again(houses_run: Path, tmp_path: Path) -> None:
    shutil.copytree(houses_run, tmp_path / "run")
    with started(str(tmp_path / "run")) as made:
        (tmp_path / "run/mtl_model.pt").rename(tmp_path / "model")
        made.process.send_signal(signal.SIGHUP)
        made.wait_for("not reloaded, the models stay as they were: .* holds no mtl_model.pt")
        assert httpx.post(f"{made.address}/predict", content=BODY, headers=JSON).status_code == 200
        (tmp_path / "model").rename(tmp_path / "run/mtl_model.pt")
        made.process.send_signal(signal.SIGHUP)
        made.wait_for("mtl serve: reloaded run")
        time.sleep(4.5)  # as long as other commands are given after a signal
        assert httpx.get(f"{made.address}/health").json() == {"live": True, "ready": True}
        assert made.end() == 143


async def many(address: str, requests: int, body: Callable[[int], bytes]) -> list[int]:
    """Send requests all at once; return their statuses."""
    limits = httpx.Limits(max_connections=requests, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=300) as client:

        async def one(number: int) -> int:
            return int((await client.post("/predict", content=body(number), headers=JSON)).status_code)

        return list(await asyncio.gather(*map(one, range(requests))))


@pytest.mark.parametrize("requests", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_requests_at_once_beside_clients_that_dawdle(requests: int, server: Process) -> None:
    dawdling = []
    for text in (HEAD[:30], HEAD + b"[{"):
        for _ in range(20):
            dawdling.append(socket.create_connection(("127.0.0.1", server.port)))
            dawdling[-1].sendall(text)
    wrong = json.dumps([{**HOUSE, "area": "wide"}]).encode()

    def body(number: int) -> bytes:
        if number % 10 == 0:
            return wrong if number % 20 else b"{"
        return json.dumps([{**HOUSE, "area": 30.5 + number / 10}]).encode()

    found = asyncio.run(many(server.address, requests, body))
    wanted = {200: requests * 9 // 10, 400: requests // 20, 422: requests // 20}
    assert {status: found.count(status) for status in set(found)} == wanted
    for connection in dawdling:
        connection.close()
    assert httpx.get(f"{server.address}/health").status_code == 200
    assert not any("Traceback" in line for line in server.lines), server.lines


@pytest.mark.slow
def test_heads_that_do_not_come_are_given_up(server: Process) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(20)
        connection.sendall(b"GET / HTTP/1.1\r\n")
        begin = time.monotonic()
        assert connection.recv(100) == b""
        assert 8 < time.monotonic() - begin < 15


@pytest.mark.slow
def test_bodies_that_drip_are_given_up(houses_run: Path) -> None:
    with started(str(houses_run), "--timeout", "1") as made:
        with socket.create_connection(("127.0.0.1", made.port)) as connection:
            connection.settimeout(20)
            connection.sendall(HEAD)
            begin = time.monotonic()
            answer = b""
            while time.monotonic() - begin < 10 and not answer:
                connection.sendall(b" ")
                connection.settimeout(0.1)
                try:
                    answer = connection.recv(1000)
                except TimeoutError:
                    continue
            assert answer.startswith(b"HTTP/1.1 408"), answer
            assert time.monotonic() - begin < 5
        assert httpx.post(f"{made.address}/predict", content=BODY, headers=JSON).status_code == 200


def test_lines_that_are_no_http(server: Process) -> None:
    for text in (b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.settimeout(15)
            connection.sendall(text)
            assert connection.recv(1000).startswith(b"HTTP/1.1 4")
    assert httpx.get(f"{server.address}/health").status_code == 200
    assert not any("Traceback" in line for line in server.lines)


@pytest.mark.slow
def test_memory_does_not_grow(server: Process) -> None:
    """The longer run by hand: ``LEAK_SECONDS=600``."""
    seconds, sizes = float(os.environ.get("LEAK_SECONDS", "10")), []
    end = time.monotonic() + seconds

    def body(number: int) -> bytes:
        return json.dumps(
            [{**HOUSE, "area": 30.5 + number, "city": f"city {time.monotonic()}"}] * (number % 3)
        ).encode()

    while time.monotonic() < end:
        asyncio.run(many(server.address, 50, body))
        with httpx.Client(base_url=server.address) as client:
            client.get("/")
            client.get("/metrics")
        sizes.append(server.memory())
        print(f"{seconds - end + time.monotonic():.0f} s: {sizes[-1] / 2**20:.1f} MiB", flush=True)
    early, late = sizes[len(sizes) // 4 : len(sizes) // 2], sizes[-max(1, len(sizes) // 4) :]
    assert statistics.median(late) < statistics.median(early) + 8 * 2**20


def test_the_command_line(mtl: InProcess, houses_run: Path, server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    run = str(houses_run)
    cases: list[tuple[list[str], str]] = [
        ([], "the following arguments are required: RUN"),
        (["nowhere"], "nowhere: there is no such run; give the folder of a run"),
        ([run, run], "two runs are called 'run'; NAME=RUN gives one of them another name"),
        ([run, "--port", "70000"], "--port: cannot be 70000"),
        ([run, "--timeout", "nan"], "--timeout: cannot be nan"),
        (
            [run, "--host", "0.0.0.0"],
            "--host: 0.0.0.0 can be reached from other machines, which needs a token; set MTL_SERVE_",
        ),
        (
            [run, "--port", str(server.port)],
            f"--port: {server.port} of 127.0.0.1 cannot be used: address already in use; give",
        ),
        ([run, "--token-file", "nowhere"], "nowhere: no token can be read: No such file"),
        ([run, "--host", "no.such.host.invalid"], "--host: no.such.host.invalid can be reached"),
        ([run, "--tokn"], "unknown flag --tokn; did you mean --token-file?"),
    ]
    for words, says in cases:
        status, out, err = mtl("serve", *words)
        assert (status, out) == (2, "") and says in err and err.count("\n") == 1, err
    monkeypatch.setattr("mtl_cli.cli.serve.PACKAGES", ("no_such_package",))
    _, _, err = mtl("serve", run)
    assert err == "mtl serve: error: mtl serve: needs the package no-such-package; pip install 'mtl-cli[serve]'\n"


def test_runs_that_are_not_served(mtl: InProcess) -> None:
    import numpy as np

    from tests.images import bars

    images, species = bars(40, 3, 0)
    np.savez("images.npz", images=images, species=species)
    assert mtl("train", "dataset=images.npz", "tasks={species: multiclass}", "trainer.epochs=1", "plots=false",
               "model=cnn", "run_dir=run")[0] == 0  # fmt: skip
    status, _, err = mtl("serve", "run", "--port", "0")
    assert (status, err) == (
        2, "mtl serve: error: run: cannot be served: it reads images or cells, whose rows are not given one by one; "
        "mtl predict RUN FILE predicts a file\n",
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_that_failed_says_so(houses_run: Path, tmp_path: Path) -> None:
    shutil.copytree(houses_run, tmp_path / "run")
    record: dict[str, Any] = json.loads((tmp_path / "run/run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    with started(str(tmp_path / "run")) as made:
        assert any("was interrupted: the model is that of its best epoch so far" in line for line in made.lines)
