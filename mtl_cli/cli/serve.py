"""`mtl serve`: trained models behind HTTP, and a page to try them by hand."""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from collections.abc import Callable

from mtl_cli.cli.arguments import Parser, tell_unfinished
from mtl_cli.config.errors import UserError

PACKAGES = ("fastapi", "uvicorn", "prometheus_client")
EXTRA = "pip install 'mtl-cli[serve]'"


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl serve",
        usage="mtl serve RUN [RUN ...] [options], or NAME=RUN",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Answer rows over HTTP with what mtl predict says of them, and show a page to\n"
        "try a model by hand, at http://127.0.0.1:8000/.",
        epilog="""\
addresses:
  POST /predict                 rows in, predictions out, of a single model:
  POST /models/NAME/predict     JSON [{"area": 80}], or CSV (text/csv);
                                ?probabilities=all: of every class
  GET /models /models/NAME      what there is, and what a row is given by
  GET /openapi.json             all of this for programs
  GET /health /health/live      503 while it stops; whether it answers at all
  GET /metrics                  for Prometheus
  POST /reload                  load the runs again, as SIGHUP does

A token is read from MTL_SERVE_TOKEN or --token-file; without one only this
machine is answered. Sent as Authorization: Bearer TOKEN, or as a password.
mtl help serve says more.

examples:
  mtl serve outputs/latest
  mtl serve RUN --port 0                        any free port, which is told
  mtl serve wine=RUN houses=RUN2 --threads 2
  curl -H 'Content-Type: text/csv' --data-binary @new.csv \\
      localhost:8000/predict""",
    )
    result.add_argument("runs", metavar="RUN", nargs="+", help="the folder of a run, or a zip of mtl pack; NAME=RUN")
    result.add_argument("--host", default="127.0.0.1", help="127.0.0.1; another that others can reach needs a token")
    result.add_argument("--port", type=int, default=8000, metavar="N", help="8000; 0 for a free one")
    result.add_argument("--token-file", metavar="FILE", help="a file with the token that requests must have")
    result.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads of the model: 1; more for large networks"
    )
    result.add_argument("--max-body", type=float, default=10, metavar="MIB", help="largest size of a request: 10")
    result.add_argument("--max-rows", type=int, default=10_000, metavar="N", help="most rows of a request: 10000")
    result.add_argument("--timeout", type=float, default=30, metavar="S", help="most seconds for a request: 30")
    result.add_argument(
        "--queue", type=int, default=1024, metavar="N", help="most requests that wait: 1024; others are refused"
    )
    result.add_argument("--batch", type=int, default=256, metavar="N", help="most requests predicted at once: 256")
    result.add_argument(
        "--batch-wait", type=float, default=2, metavar="MS", help="how long a request waits for others: 2"
    )
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl serve`` with these arguments."""
    arguments = parser().parse_args(argv)
    _check(arguments)
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError("mtl serve", f"needs the package {missing[0].replace('_', '-')}", EXTRA)
    from mtl_cli.runs.model_file import find_model
    from mtl_cli.serving.access import Access, check_host, find_token
    from mtl_cli.serving.limits import Limits
    from mtl_cli.serving.served import Models, named_runs

    runs = named_runs(arguments.runs)
    for path in runs.values():
        find_model(path)
    token = find_token(arguments.token_file)
    check_host(arguments.host, token)
    from mtl_cli.serving.server import address_of, bind, serve
    from mtl_cli.serving.state import State

    bound = bind(arguments.host, arguments.port)
    for path in runs.values():
        tell_unfinished(path)
    limits = Limits(
        body=int(arguments.max_body * 2**20), rows=arguments.max_rows, seconds=arguments.timeout,
        queue=arguments.queue, batch=arguments.batch, batch_wait=arguments.batch_wait / 1000,
    )  # fmt: skip
    state = State(Models(runs), limits, Access(token), log, arguments.threads)
    serve(state, bound, lambda: log(f"{', '.join(state.models.found)} at {address_of(bound)}/"))
    return 0


def log(line: str) -> None:
    """Tell who runs the server of an event."""
    print(f"mtl serve: {line}", file=sys.stderr, flush=True)


def _check(arguments: argparse.Namespace) -> None:
    """Raise UserError for a number that is out of range."""
    at_least: dict[str, tuple[float, Callable[[float], bool]]] = {
        "--max-body": (arguments.max_body, lambda value: 0 < value <= 2**20),
        "--max-rows": (arguments.max_rows, lambda value: value >= 1),
        "--timeout": (arguments.timeout, lambda value: 0 < value <= 86_400),
        "--queue": (arguments.queue, lambda value: value >= 1),
        "--batch": (arguments.batch, lambda value: value >= 1),
        "--batch-wait": (arguments.batch_wait, lambda value: 0 <= value <= 60_000),
        "--threads": (arguments.threads, lambda value: 1 <= value <= 1024),
        "--port": (arguments.port, lambda value: 0 <= value <= 65_535),
    }
    for flag, (value, holds) in at_least.items():
        if not math.isfinite(value) or not holds(value):
            raise UserError(flag, f"cannot be {value:g}")
