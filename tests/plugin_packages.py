"""Packages that add to mtl, written to a folder as an installer leaves them: a module and its metadata."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests import warm

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Site:
    """A folder on the path of Python, where packages are installed."""

    folder: Path

    def install(self, name: str, code: str, version: str = "1.0") -> Path:
        """Write a package of one module, and return the module's folder."""
        package = self.folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(code, encoding="utf-8")
        metadata = self.folder / f"{name}-{version}.dist-info"
        metadata.mkdir()
        distribution = name.replace("_", "-")
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(f"[mtl_cli.plugins]\n{name.removeprefix('mtl_')} = {name}\n")
        return package

    def mtl(
        self, where: Path, *arguments: str, plugins: bool = True, line: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run ``mtl`` of this checkout in a folder, with the packages of the site or without; ``line`` is completed."""
        return warm.mtl(where, *arguments, path=(ROOT, *([self.folder] if plugins else [])), line=line)


HEADER = """\
from dataclasses import dataclass
from typing import ClassVar
from mtl_cli.config.registry import component
"""

DOUBLING = f"""{HEADER}
from mtl_cli.balancing.base import Balancer, Decision, Needs

@component("balancer", "doubling")
@dataclass(frozen=True, kw_only=True)
class Doubling(Balancer):
    \"\"\"Every task weighs the same, and as much as is asked for. Not a paper's.\"\"\"

    by: float = 2.0
    needs: ClassVar[Needs] = "losses"
    paper: ClassVar[str] = "of the tests"

    def decide(self, state, statistics):
        return Decision(state["weights"] * 0 + self.by, state)

@component("metric", "largest_error")
def largest_error(task, output, values):
    return float(abs(output[:, 0] - values).max()) if task.kind == "regression" else None
"""

PLAIN = f"""{HEADER}
from mtl_cli.models.trunk import Trunk, TrunkConfig

@component("trunk", "plain")
@dataclass(frozen=True, kw_only=True)
class Plain(TrunkConfig):
    \"\"\"One linear layer.\"\"\"

    width: int = 8
    accepts: ClassVar[tuple[str, ...]] = ("features",)

    def build(self, spec):
        from torch import nn

        layer = nn.Linear(spec.width, self.width)
        return Trunk(layer, self.width, layer)
"""

COMMAND = '''\
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import component

@component("command", "count")
def count(argv):
    """count the words: mtl count a b

    Not more than that.
    """
    if not argv:
        raise UserError("WORD", "none is given", "mtl count a b")
    print(len(argv))
    return 0
'''

SPECTRA = f"""{HEADER}
from dataclasses import field

from mtl_cli.data.base import DataSource, Examples, Prepared, Reader, encode_parts, fit_tasks
from mtl_cli.data.split import Rows, SplitConfig, split_rows
from mtl_cli.models.trunk import Trunk, TrunkConfig

@component("dataset", "spectra")
@dataclass(frozen=True, kw_only=True)
class Spectra(DataSource):
    \"\"\"Spectra of several channels in a file of NumPy arrays, and labels beside them.\"\"\"

    path: str
    split: SplitConfig = field(default_factory=SplitConfig)
    suffixes: ClassVar[tuple[str, ...]] = (".spectra",)

    @property
    def input_kind(self):
        return "spectrum"

    def prepare(self, tasks, notice, like=None):
        import numpy as np

        examples = read(self.path)
        labels = lambda name: tasks[name].labels(name, examples.table)
        split = split_rows(self.split, examples.table, Rows(np.arange(len(examples.ids)), labels), notice)
        fitted = fit_tasks(tasks, examples.table, split.train, notice)
        reader = SpectraReader(self.path, examples.inputs.values.shape[1:])
        return Prepared(fitted, reader, encode_parts(split, fitted, examples.select), split.table(examples.ids))

    def restore(self, state):
        return SpectraReader(self.path, tuple(state["shape"]))

@dataclass(frozen=True)
class SpectraReader(Reader):
    path: str
    shape: tuple[int, ...]

    @property
    def spec(self):
        from mtl_cli.data.inputs import InputSpec

        return InputSpec("spectrum", self.shape)

    def read(self, path, notice):
        return read(path)

    def read_own(self, notice):
        return read(self.path)

    def state(self):
        return {{"shape": list(self.shape)}}

def read(path):
    import numpy as np
    import pandas as pd
    from mtl_cli.data.inputs import DenseRows

    arrays = dict(np.load(path))
    inputs = DenseRows(arrays.pop("spectra"))
    rows = pd.RangeIndex(len(inputs))
    return Examples(inputs, pd.DataFrame(arrays, index=rows), rows.to_series(name="row"), path)

@component("trunk", "peaks")
@dataclass(frozen=True, kw_only=True)
class Peaks(TrunkConfig):
    \"\"\"A convolution along the spectrum, and the mean over it.\"\"\"

    width: int = 8
    accepts: ClassVar[tuple[str, ...]] = ("spectrum",)

    def build(self, spec):
        from torch import nn

        layer = nn.Conv1d(spec.shape[0], self.width, 3)
        return Trunk(nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()), self.width, layer)
"""

FIRST_LAYER = f"""{HEADER}
from mtl_cli.balancing.base import Balancer, Decision, Needs
from mtl_cli.balancing.statistic import Statistic

@component("statistic", "first_layer")
class FirstLayer(Statistic):
    \"\"\"The norms of the tasks' gradients on the first shared parameter.\"\"\"

    def compute(self, gradients, boundary):
        from mtl_cli.balancing.gradients.reference import passes

        return passes(boundary, gradients.parameters[:1]).norm(dim=1)

@component("balancer", "first_layer")
@dataclass(frozen=True, kw_only=True)
class Levelled(Balancer):
    \"\"\"Tasks whose gradients on the first layer are equally long.\"\"\"

    needs: ClassVar[Needs] = "first_layer"

    def decide(self, state, statistics):
        norms = statistics.other
        return Decision(1 / norms, state, columns={{"norm": norms}})
"""
