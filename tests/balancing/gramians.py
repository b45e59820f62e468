"""Gradients for tests: the reference matrices, random ones, and ones that are hard to solve for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st

BASE = torch.tensor([[-4.0, 1, 1], [6, 1, 1]], dtype=torch.float64)
THREE = torch.tensor([[3.0, 0, 1, -1], [-1, 2, 0, 1], [0.5, -4, 2, 0]], dtype=torch.float64)
AGREEING = torch.tensor([[1.0, 2, 0], [10, 5, 1]], dtype=torch.float64)

SETTINGS = settings(derandomize=True, max_examples=60, deadline=None)


def gramian(jacobian: torch.Tensor) -> torch.Tensor:
    return jacobian @ jacobian.T


@st.composite
def independent_gradients(draw: st.DrawFn) -> torch.Tensor:
    """2 to 6 gradients of lengths between 0.1 and 10 that no combination makes vanish, with conflicts."""
    tasks, seed = draw(st.integers(2, 6)), draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    jacobian = torch.randn(tasks, 2 * tasks + 2, generator=generator, dtype=torch.float64)
    lengths = 10 ** (2 * torch.rand(tasks, 1, generator=generator, dtype=torch.float64) - 1)
    return jacobian / jacobian.norm(dim=1, keepdim=True) * lengths


def hard(seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and Jacobians, K = 2 to 40: dependent, opposite, equal, zero, and of scales from 1e-7.5 to 1e7.5."""
    generator = np.random.default_rng(seed)
    for tasks in (2, 3, 5, 8, 17, 40):
        for width in sorted({1, max(1, tasks // 2), tasks - 1, tasks, 2 * tasks, 200}):
            jacobian = generator.normal(size=(tasks, width)) + 0.3 * generator.normal(size=width)
            scales = 10.0 ** generator.uniform(-7.5, 7.5, size=(tasks, 1))
            yield f"{tasks} in {width}", jacobian
            yield f"{tasks} in {width}, scaled", jacobian * scales
            yield f"{tasks} in {width}, tiny", jacobian * 1e-7
        jacobian = generator.normal(size=(tasks, tasks + 3))
        opposite, equal, zero, nearly = (jacobian.copy() for _ in range(4))
        opposite[0] = -3 * opposite[1]
        equal[0] = equal[1]
        zero[0] = 0
        nearly[1] = -nearly[0] + 1e-4 * generator.normal(size=tasks + 3)
        cancelling = jacobian.copy()
        cancelling[-1] = -cancelling[:-1].sum(0) + 1e-4 * generator.normal(size=tasks + 3)
        yield f"{tasks}, cancelling", cancelling
        yield f"{tasks}, opposite", opposite
        yield f"{tasks}, equal", equal
        yield f"{tasks}, one zero", zero
        yield f"{tasks}, nearly opposite", nearly
        yield f"{tasks}, all zero", 0 * jacobian
