"""Models of the library ``transformers``, with the weights of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mtl_cli.config.errors import UserError

WHERE = "model.trunk.pretrained"


def load_pretrained(cls: Any, folder: Path, name: str, unused: str, **keys: Any) -> Any:
    """Return a model with the weights of a folder, in float32; no hub is asked.

    Parameters
    ----------
    cls : type
        A class of ``transformers`` that has ``from_pretrained``.
    folder : Path
    name : str
        What the user calls the weights, for messages.
    unused : str
        A part of the model that is not used here, so that its weights may be missing.
    **keys
        For ``from_pretrained``.

    Raises
    ------
    UserError
        If the folder lacks weights, or holds what ``transformers`` cannot load.
    """
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # it would warn of heads that are not used here
    logging.disable_progress_bar()
    try:
        model, info = cls.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True, **keys
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(WHERE, f"'{name}' cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    mismatched = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    lacking = sorted(key for key in [*info["missing_keys"], *mismatched] if unused not in key)
    if lacking:
        what = f"'{name}' lacks weights that its config.json asks for; the first one missing is {lacking[0]}"
        raise UserError(WHERE, what)
    return model
