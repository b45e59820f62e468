"""Families of tasks whose relatedness is known.

The tasks of Ma et al. (KDD 2018, doi 10.1145/3219819.3220007, section 3.1), any number of them: with unit vectors w_t
of cosine ``correlation`` to each other, and inputs x of independent standard normal numbers,

    y_t = scale_t · g(w_t · x) + ε,   g(u) ∝ u + Σ_i sin(a_i u + b_i),   ε of deviation noise · scale_t,

g brought to variance 1. Without waves, g is the identity and the tasks are linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Family:
    """What the tasks have in common, and how much there is to learn it from.

    Parameters
    ----------
    tasks : int
    correlation : float
        Of the directions: 0 for nothing in common but g, 1 for the same task, and less than 0 for directions that
        point away from each other, as far as so many can: −1 / (tasks − 1).
    scale : float
        The last task's outputs are so many times larger than the first's.
    noise : float
        The deviation of the labels about the truth, in that of the truth.
    rows : int
        Training rows for each task, of its own; with ``together`` every row has all labels.
    together : bool
    inputs : int
        More than tasks.
    waves : int
    """

    tasks: int = 4
    correlation: float = 0.0
    scale: float = 1.0
    noise: float = 0.1
    rows: int = 1000
    together: bool = True
    inputs: int = 8
    waves: int = 3

    @property
    def names(self) -> list[str]:
        """The columns with the tasks' labels."""
        return [f"y{task}" for task in range(self.tasks)]

    def draw(self, seed: int, test: int = 2000) -> pd.DataFrame:
        """Draw a table with columns x0 …, y0 … and split: a quarter as many rows validate; test rows have no noise."""
        import numpy as np
        import pandas as pd

        random = np.random.default_rng(seed)
        directions = self._directions(np.linalg.qr(random.normal(size=(self.inputs, self.tasks + 1)))[0])
        a, b = random.uniform(1, 3, self.waves), random.uniform(0, 2 * np.pi, self.waves)
        train = self.rows * (1 if self.together else self.tasks)
        counts = {"train": train, "val": train // 4, "test": test}
        x = random.normal(size=(sum(counts.values()), self.inputs))
        u = x @ directions
        truth = u + np.sin(u[..., None] * a + b).sum(-1)
        truth = (truth - truth.mean(0)) / truth.std(0) * np.geomspace(1, self.scale, self.tasks)
        split = np.repeat(list(counts), list(counts.values()))
        noise = random.normal(size=truth.shape) * truth.std(0) * self.noise
        y = truth + noise * (split != "test")[:, None]
        if not self.together:
            theirs = np.arange(len(y))[:, None] % self.tasks == np.arange(self.tasks)
            y[~theirs & (split != "test")[:, None]] = np.nan
        columns = [f"x{i}" for i in range(self.inputs)] + self.names
        return pd.DataFrame(np.concatenate([x, y], 1), columns=columns).assign(split=split)

    def _directions(self, basis: np.ndarray) -> np.ndarray:
        """Return the unit vectors w_t, a column each, from tasks + 1 orthonormal ones."""
        import numpy as np

        if self.correlation >= 0:  # a common part, and one of each task's own
            common, own = np.sqrt(self.correlation), np.sqrt(1 - self.correlation)
            return np.asarray(common * basis[:, :1] + own * basis[:, 1:])
        away = -self.correlation * self.tasks / (1 - self.correlation)  # pushed away from their mean
        found = basis[:, 1:] - (1 - np.sqrt(max(1 - away, 0))) * basis[:, 1:].mean(axis=1, keepdims=True)
        return np.asarray(found / np.linalg.norm(found, axis=0))
