"""Config-driven multi-task training: `mtl train dataset=wine balancer=gradnorm`, or from Python `mtl_cli.train(…)`.

The Python interface is loaded when it is first used, so that `mtl --help` never waits for torch. Type checkers read
``__init__.pyi``; `mtl help python` has examples.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "MultiTaskEstimator": "mtl_cli.estimator",
    "Run": "mtl_cli.interface",
    "TrainedModel": "mtl_cli.interface",
    "TrainingStep": "mtl_cli.own_loop",
    "UserError": "mtl_cli.config.errors",
    "balancers": "mtl_cli.interface",
    "load": "mtl_cli.interface",
    "train": "mtl_cli.interface",
}
"""The module that defines each name of the Python interface."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mtl_cli' has no attribute '{name}'")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
