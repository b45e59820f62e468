"""DSelect-k: experts shared by all tasks, of which each task comes to use a few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import NonNegativeFloat, PositiveFloat, PositiveInt
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.models.sharing.scheme import SeveralTrunks
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.sharing.modules.shared import Shared


@component("sharing", "dselect_k")
@dataclass(frozen=True, kw_only=True)
class DSelectK(SeveralTrunks):
    """DSelect-k (Hazimeh et al., NeurIPS 2021, arXiv 2106.03760, equations 3 to 5).

    As in MMoE, z_t = Σ_e q_e f_e(x), but each task's gate is made of k selectors that tend to one expert each. Selector
    i has m = ⌈log₂ n⌉ numbers z_i; with the smooth step S of width γ (0 below −γ/2, 1 above γ/2, a cubic between),
    expert number e with the binary digits e_1 … e_m gets

        r(z_i)_e = Π_j S(z_ij)^{e_j} (1 − S(z_ij))^{1 − e_j},   q = Σ_i softmax(α)_i r(z_i),

    so that q sums to 1, and once every |z_ij| ≥ γ/2 has exactly k numbers above 0 (or fewer, if selectors agree). The
    training loss gets λ Σ_t Σ_i H(r(z_i)), the entropy, which drives the selectors there.

    Parameters
    ----------
    experts : int
        n.
    k : int
    gamma : float
        γ.
    entropy : float
        λ.
    gate : {"static", "example"}
        One choice a task, z and α learned as they are; or one for each row, linear in x, where H is a mean over rows.
    budget : {"each", "total"}

    Notes
    -----
    Departure: where n is no power of 2, some of the 2^m codes name no expert, and the authors' code adds a penalty that
    grows as a selector nears those; here code c stands for expert c mod n, so that every choice is one.
    """

    experts: PositiveInt = 4
    k: PositiveInt = 2
    gamma: PositiveFloat = 1.0
    entropy: NonNegativeFloat = 0.001
    gate: Literal["static", "example"] = "static"

    mixes: ClassVar[bool] = True

    def mixed(self) -> tuple[str, int] | None:
        return "experts", self.experts

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        if self.k > self.experts:
            what = f"is {self.k}, and there are {self.experts} experts to choose from"
            yield Problem("model.sharing.k", what, f"at most {self.experts}, or model.sharing.experts={self.k}")

    def build(self, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Level]) -> Shared:
        from mtl_cli.models.sharing.modules.gates import SelectorGate, gate_reader
        from mtl_cli.models.sharing.modules.mixture import Mixture

        experts = [trunk.build(spec) for _ in range(self.experts)]
        reads = spec.width if self.gate == "example" else None
        gates = {task: SelectorGate(reads, self.experts, self.k, self.gamma) for task in tasks}
        return Mixture(experts, gates, gate_reader(spec), self.entropy)
