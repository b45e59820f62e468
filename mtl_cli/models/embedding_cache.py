"""What a frozen model makes of sequences, kept on disk: a run, or an epoch, that sees one again need not compute it.

A file per sequence, ``FOLDER/MODEL/ab/abcd….npy`` (no pickle), named by the SHA-256 of the model's weights and of the
sequence, so that it can be none but the right one. It holds float32 states of shape (length + marks, width).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mtl_cli.data.sequences.rows import PADDING
from mtl_cli.io import atomic


def fingerprint(model: nn.Module) -> str:
    """Return a name that changes with any of a model's weights, or their names."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return found.hexdigest()


class EmbeddingCache:
    """Looks sequences up, and computes those that are not there.

    Parameters
    ----------
    folder : Path
        Made when the first sequence is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def states(
        self, model: str, tokens: torch.Tensor, compute: Callable[[torch.Tensor], torch.Tensor], marks: int = 2
    ) -> torch.Tensor:
        """Return what ``compute`` makes of ``tokens``, without gradients.

        Parameters
        ----------
        model : str
            The model's fingerprint.
        tokens : Tensor of shape (n, length)
        compute : callable
            From tokens to states, (n, length + marks, width); what it gives at a row's own places must not depend on
            the other rows.
        marks : int, default 2
            States beside those of a row's tokens.
        """
        array = tokens.cpu().numpy()
        rows = [row[row != PADDING] for row in array.astype("uint8" if array.max(initial=0) < 256 else "int32")]
        files = [self._file(model, row, tokens.device) for row in rows]
        found = {file: states for file in dict.fromkeys(files) if (states := _read(file)) is not None}
        missing = {file: i for i, file in enumerate(files) if file not in found}  # equal sequences once
        if missing:
            longest = max(len(rows[i]) for i in missing.values())
            computed = compute(tokens[list(missing.values()), :longest]).float().cpu().numpy()
            for (file, i), states in zip(missing.items(), computed, strict=True):
                found[file] = np.ascontiguousarray(states[: len(rows[i]) + marks])
                file.parent.mkdir(parents=True, exist_ok=True)
                atomic(file, lambda path, value=found[file]: np.save(path, value, allow_pickle=False))  # type: ignore[misc]
        width = found[files[0]].shape[1]
        joined = np.zeros((len(rows), tokens.shape[1] + marks, width), dtype="float32")
        for place, file in zip(joined, files, strict=True):
            place[: len(found[file])] = found[file]
        return torch.from_numpy(joined).to(tokens.device)

    def _file(self, model: str, row: np.ndarray, device: torch.device) -> Path:
        precision = str(torch.get_autocast_dtype(device.type)) if torch.is_autocast_enabled(device.type) else ""
        name = hashlib.sha256(precision.encode() + row.tobytes()).hexdigest()
        return self.folder / model[:32] / name[:2] / f"{name}.npy"


def _read(file: Path) -> np.ndarray | None:
    """Return the states in a file; None if there is none, or it is cut off: it is computed and written again then."""
    try:
        return np.asarray(np.load(file, allow_pickle=False)) if file.is_file() else None
    except (ValueError, EOFError):  # what NumPy raises for a file that a full disk, or a copy, has cut off
        return None
