"""Gates: how much of each expert a task takes."""

from __future__ import annotations

import math

import torch
from torch import nn

from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.layers import Normalise


def gate_reader(spec: InputSpec) -> nn.Module:
    """Return what turns a batch of inputs into the rows of numbers that gates read, (n, spec.width)."""
    if spec.kind == "image":
        return nn.Sequential(Normalise(spec.center, spec.scale), nn.Flatten())
    return nn.Flatten() if len(spec.shape) > 1 else nn.Identity()


class SoftmaxGate(nn.Linear):
    """g(x) = softmax(W x + b), (n, experts)."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return each row's weights of the experts, which sum to 1."""
        weights: torch.Tensor = super().forward(inputs).softmax(-1)
        return weights


def mix(weights: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return Σ_e g_e f_e.

    Parameters
    ----------
    weights : Tensor of shape (experts,), or (n, experts)
    outputs : Tensor of shape (experts, n, …)
    """
    mixed: torch.Tensor = torch.einsum("e,en...->n..." if weights.dim() == 1 else "ne,en...->n...", weights, outputs)
    return mixed


def smooth_step(inputs: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return 0 below −γ/2, 1 above γ/2, and between them the cubic −2t³/γ³ + 3t/(2γ) + 1/2."""
    inside = inputs.clamp(-gamma / 2, gamma / 2)
    found = -2 / gamma**3 * inside**3 + 3 / (2 * gamma) * inside + 0.5
    found = found.where(inputs > -gamma / 2, 0.0)  # exact, whatever rounding makes of the cubic
    return found.where(inputs < gamma / 2, 1.0)


class SelectorGate(nn.Module):
    """A mixture of k selectors, each of which tends to a single expert.

    Parameters
    ----------
    inputs : int or None
        The width of what it reads; None learns one choice for all rows.
    experts, k : int
    gamma : float
        The width of the smooth step.
    """

    def __init__(self, inputs: int | None, experts: int, k: int, gamma: float) -> None:
        super().__init__()
        self.experts, self.k, self.gamma = experts, k, gamma
        self.bits = math.ceil(math.log2(experts))
        codes = torch.arange(2**self.bits)
        self._codes: torch.Tensor
        self._expert: torch.Tensor
        self.register_buffer("_codes", (codes.unsqueeze(1) >> torch.arange(self.bits)) & 1 == 1, persistent=False)
        self.register_buffer("_expert", nn.functional.one_hot(codes % experts, experts).float(), persistent=False)
        self.linear = None if inputs is None else nn.Linear(inputs, k * (self.bits + 1))
        self.logits = None if inputs is not None else nn.Parameter(torch.empty(k * (self.bits + 1)))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.05, 0.05)
            of_bits = parameter.data[: k * self.bits]
            nn.init.uniform_(of_bits, -gamma / 100, gamma / 100)

    def selectors(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return r(z), (…, k, experts), and the selectors' logits, (…, k); … is n, or nothing for one choice."""
        found = self.logits if self.linear is None else self.linear(inputs)
        assert found is not None
        bits, logits = torch.split(found, [self.k * self.bits, self.k], -1)
        steps = smooth_step(bits.view(*bits.shape[:-1], self.k, 1, self.bits), self.gamma)
        chosen = torch.where(self._codes, steps, 1 - steps).prod(-1)
        return chosen @ self._expert, logits

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the weights of the experts, (n, experts) or (experts,), which sum to 1."""
        chosen, logits = self.selectors(inputs)
        weights: torch.Tensor = (logits.softmax(-1).unsqueeze(-1) * chosen).sum(-2)
        return weights

    def entropy(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the selectors' entropy, in nats: summed over them, a mean over rows."""
        chosen, _ = self.selectors(inputs)
        entropy: torch.Tensor = torch.special.entr(chosen.clamp(min=1e-6))  # at 0 its slope has no bound
        return entropy.sum((-2, -1)).mean()
