"""The form of what the parts of a training save: a part's own state, while it is new, says what any other is like.

A number stands for a number, a count for a count, a tensor for one of its shape and kind of number, a mapping for its
keys, a list for as many values. Where a state may also be otherwise, its part says so, by ``Either`` and ``Many``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtl_cli.config.errors import LONGEST, shortened
from mtl_cli.runs.strangers import NotOurs

if TYPE_CHECKING:
    import torch

Form = Any
"""A value that stands for all that are like it; ``...`` for any plain value, and for every key of a mapping."""


@dataclass(frozen=True)
class Either:
    """One or the other."""

    one: Form
    other: Form


@dataclass(frozen=True)
class Many:
    """A list of any length of values of a form."""

    each: Form


@dataclass(frozen=True)
class Rows:
    """A tensor of any number of rows, each like another tensor."""

    each: torch.Tensor


@dataclass(frozen=True)
class Some:
    """A mapping that has some of the keys of another."""

    of: Mapping[Any, Form]


def check_form(value: Any, form: Form, where: str = "") -> None:
    """Raise NotOurs if plain values have not the form; ``where`` is the key. Nothing is made on the way."""
    import torch

    if form is ...:
        return None
    if isinstance(form, Either):
        with contextlib.suppress(NotOurs):
            return check_form(value, form.one, where)
        return check_form(value, form.other, where)
    if isinstance(form, Many):
        if isinstance(value, list):
            return check_form(value, [form.each] * len(value), where)
    elif isinstance(form, Rows):
        if isinstance(value, torch.Tensor) and value.ndim:
            return check_form(value, form.each.expand(len(value), *form.each.shape), where)
    elif isinstance(form, Some):
        if isinstance(value, Mapping) and value.keys() <= form.of.keys():
            return check_form(value, {key: form.of[key] for key in value}, where)
    elif isinstance(form, Mapping):
        if isinstance(value, Mapping) and (... in form or value.keys() == form.keys()):
            for key, item in value.items():
                check_form(item, form.get(key, form.get(...)), f"{where}.{key}" if where else str(key))
            return None
    elif isinstance(form, list | tuple):
        if isinstance(value, list | tuple) and len(value) == len(form):
            for place, (item, like) in enumerate(zip(value, form, strict=True)):
                check_form(item, like, f"{where}[{place}]")
            return None
    elif _fits(value, form):
        return None
    raise NotOurs(f"has {_said(value)} where {where or 'all'} should be {_said(form)}")


def _fits(value: Any, form: Form) -> bool:
    import torch

    if isinstance(form, torch.Tensor):
        if not isinstance(value, torch.Tensor) or value.shape != form.shape:
            return False
        return value.dtype == form.dtype or (value.is_floating_point() and form.is_floating_point())
    if type(form) is float:
        return type(value) in (int, float)
    return type(value) is type(form) and (type(form) is not int or value >= 0)


def _said(value: Any) -> str:
    """Return a value, or what a form stands for, in words."""
    import torch

    if isinstance(value, Either):
        return f"{_said(value.one)} or {_said(value.other)}"
    if isinstance(value, Many):
        return f"any number of {_said(value.each)}"
    if isinstance(value, Rows):
        return f"any number of rows, each {_said(value.each)}"
    if isinstance(value, Some):
        return f"some of {_said(value.of)}"
    if isinstance(value, torch.Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} of shape {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"a mapping of {shortened(', '.join(map(str, value)) or 'nothing', LONGEST)}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return "nothing" if value is None else shortened(f"{type(value).__name__} {value!r}", LONGEST)
