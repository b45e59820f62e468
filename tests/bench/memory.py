"""What an exact Gramian step takes of memory: `python -m tests.bench.memory`.

The cells workload with 20 000 inputs; each method in a process of its own, whose peak memory is taken above what it
held once everything was imported. The bound is 1.3 times `uniform`.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import subprocess
import sys

INPUTS = 20_000
STEPS = 5
BOUND = 1.3


def peak() -> int:
    """Return the most memory this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def take_steps(name: str) -> int:
    """Train a few steps, and return by how much the peak rose above what the imports took."""
    import torch

    from mtl_cli.balancing.step import Step
    from mtl_cli.config.registry import components
    from tests.bench.workloads import WORKLOADS

    torch.set_num_threads(1)
    small = WORKLOADS["wine"]  # its steps load what torch loads at first use
    _train(torch, Step, components("balancer")[name](), small)
    before = peak()
    _train(torch, Step, components("balancer")[name](), dataclasses.replace(WORKLOADS["cells"], inputs=INPUTS))
    return peak() - before


def _train(torch, Step, balancer, workload) -> None:  # type: ignore[no-untyped-def]
    model, batch = workload.network(), workload.batch()
    step = Step(model, workload.tasks(), balancer, torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for _ in range(STEPS):
        for parameter in model.parameters():
            parameter.grad = None
        step(batch)
        optimizer.step()


def main() -> None:
    """Print the peaks and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--balancers", nargs="*", default=["upgrad", "gradnorm"])
    parser.add_argument("--child")
    arguments = parser.parse_args()
    if arguments.child:
        print(take_steps(arguments.child))
        return
    found = {}
    for name in ["uniform", *arguments.balancers]:
        command = [sys.executable, "-m", "tests.bench.memory", "--child", name]
        found[name] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ratio = found[name] / found["uniform"]
        verdict = "" if name == "uniform" else f"  bound {BOUND}: {'holds' if ratio <= BOUND else 'MISSED'}"
        print(f"{name:12} {found[name] / 2**20:7.1f} MiB  {ratio:.2f} of uniform{verdict}")


if __name__ == "__main__":
    main()
