"""What a server takes for one row, beside the model's own call: `python -m tests.bench.serve [RUN]`.

Without a run, one is trained on wine. Clients are in a process of their own; each sends one row, waits for the answer,
and sends the next. ``direct`` is reading and predicting one row in this process, as the server's thread does it;
``network`` the networks of all members alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path

import torch

from mtl_cli.cli.main import run
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.serving.served import load
from tests.conftest import MTL

SECONDS = 5.0
"""Of each measurement."""
CLIENTS = (1, 4, 16, 64)


def times_of(work: Callable[[], object]) -> list[float]:
    """Return the seconds of as many calls as there is time for."""
    found, end = list[float](), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return found


def clients(port: int, body: bytes, count: int) -> list[float]:
    """Return the seconds of the requests that so many clients sent."""
    found: list[float] = []

    def ask() -> None:
        connection = HTTPConnection("127.0.0.1", port)
        own: list[float] = []
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            begin = time.perf_counter()
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            own.append(time.perf_counter() - begin)
        found.extend(own)

    askers = [threading.Thread(target=ask) for _ in range(count)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    return found


def cpu_of(process: int) -> float:
    """Return the seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def line(name: str, times: list[float], cpu: float) -> str:
    """Return a line of the table; ``cpu`` is the processor time of all calls."""
    ordered = sorted(1000 * one for one in times)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    each = 1000 * cpu / len(ordered)
    return f"{name:<22} {statistics.median(ordered):9.2f} {p99:9.2f} {len(ordered) / SECONDS:9.0f} {each:9.2f}"


def main() -> None:
    """Print p50, p99 and processor time of a request in milliseconds, and requests per second."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?")
    parser.add_argument("words", nargs="*", help="of mtl serve, such as -- --batch-wait 0")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.run
        if path is None:
            path = f"{folder}/wine"
            short = ["trainer.epochs=2", "trainer.folds=none", "plots=false", f"run_dir={path}"]
            assert run(["train", "dataset=wine", *short]) == 0
        torch.set_num_threads(1)
        row = load("run", path)["run"].usual_row()
        measure(Path(path), json.dumps([row]).encode(), row, arguments.words)


def measure(path: Path, body: bytes, row: dict[str, object], words: list[str]) -> None:
    """Measure the bare calls, and then a server."""
    model = TrainedModel.load(str(path))

    def quiet(text: str) -> None:
        pass

    inputs = model.reader.read_rows([row], "rows", quiet).inputs
    print(f"{len(model.members)} members{'':<13} {'p50 ms':>9} {'p99 ms':>9} {'per s':>9} {'cpu ms':>9}")
    bare: dict[str, Callable[[], object]] = {
        "network": lambda: model.outputs_of_members(inputs),
        "direct": lambda: model.predict(model.reader.read_rows([row], "rows", quiet), quiet),
    }
    for name, work in bare.items():
        begin = time.process_time()
        times = times_of(work)
        print(line(name, times, time.process_time() - begin))
    server = subprocess.Popen([MTL, "serve", path, "--port", "0", *words], stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        port = next(int(found[1]) for text in server.stderr if (found := re.search(r":(\d+)/$", text.strip())))
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(clients, port, body, 1).result()
            for count in CLIENTS:
                shown = "1 client" if count == 1 else f"{count} clients"
                begin = cpu_of(server.pid)
                times = pool.submit(clients, port, body, count).result()
                print(line(shown, times, cpu_of(server.pid) - begin))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
