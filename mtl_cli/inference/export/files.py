"""Writing a model for other systems: ONNX, torch.export, safetensors."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mtl_cli import __version__
from mtl_cli.config.errors import UserError
from mtl_cli.inference.export.columns import EMPTY, UNKNOWN
from mtl_cli.inference.export.graph import Graph, GraphInput
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.io import atomic, to_json
from mtl_cli.runs.model_file import load_model

ENDINGS = {"onnx": ".onnx", "torch-export": ".pt2", "safetensors": ".safetensors"}
NEEDED = {"onnx": ("onnx", "onnxscript"), "torch-export": (), "safetensors": ("safetensors",)}
BATCH, LENGTH = "batch", "length"


def check_packages(form: str) -> None:
    """Raise UserError if what writes a format is not installed."""
    missing = [package for package in NEEDED[form] if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError("--format", f"{form} needs {' and '.join(missing)}", f"pip install 'mtl-cli[{form}]'")


def write_export(path: str, form: str, target: Path) -> list[str]:
    """Write a run's model in a format; return what ``predict`` does and the file does not.

    Raises
    ------
    UserError
        If some part of the model cannot be in it.
    """
    if form == "safetensors":
        _safetensors(path, target)
        return ["reading of data, encoding, links: only the weights are in it, and how all else was fitted"]
    model = TrainedModel.load(path)
    graph = Graph(model).eval()
    about = _about(path, graph)
    with _quietly():
        if form == "onnx":
            _onnx(graph, about, target)
        else:
            _torch_export(graph, about, target)
    return graph.left_out


def _about(path: str, graph: Graph) -> dict[str, str]:
    """Return what the file says of itself."""
    content = load_model(path)
    inputs = [vars(given) for given in graph.inputs]
    return {
        "mtl": __version__,
        "inputs": to_json(inputs),
        "outputs": to_json(graph.outputs),
        "tasks": to_json(graph.tasks),
        "members": str(len(graph.networks)),
        "license": str(content["config"].get("license") or ""),
    }


def _dynamic(graph: Graph) -> tuple[tuple[dict[int, Any], ...]]:
    shape: dict[int, Any] = {0: torch.export.Dim(BATCH)}
    if graph.lengths:
        shape[1] = torch.export.Dim(LENGTH)
    return (tuple(shape for _ in graph.examples),)


def _torch_export(graph: Graph, about: dict[str, str], target: Path) -> None:
    program = torch.export.export(graph, graph.examples, dynamic_shapes=_dynamic(graph))
    atomic(target, lambda file: torch.export.save(program, file, extra_files={"mtl.json": to_json(about)}))


def _onnx(graph: Graph, about: dict[str, str], target: Path) -> None:
    import onnx

    names = [given.name for given in graph.inputs]
    outputs = [output["name"] for output in graph.outputs]
    program = torch.onnx.export(
        graph, graph.examples, input_names=names, output_names=outputs, dynamic_shapes=_dynamic(graph), dynamo=True,
        verbose=False,
    )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    for given in graph.inputs:
        if given.levels is not None:
            _take_text(proto, given)
    for key, value in about.items():
        proto.metadata_props.add(key=key, value=value)
    proto.producer_name, proto.producer_version = "mtl", __version__
    onnx.checker.check_model(proto)
    atomic(target, lambda file: file.write_bytes(proto.SerializeToString()))


def _take_text(proto: Any, given: GraphInput) -> None:
    """Let an input be text in place of the code of its level: a node in front makes the code."""
    from onnx import TensorProto, helper

    levels = given.levels or []
    code = f"{given.name} as a code"
    for node in proto.graph.node:
        for place, name in enumerate(node.input):
            if name == given.name:
                node.input[place] = code
    unknown = len(levels) if given.other else UNKNOWN
    encode = helper.make_node(
        "LabelEncoder", [given.name], [code], domain="ai.onnx.ml", keys_strings=[*levels, ""],
        values_int64s=[*range(len(levels)), EMPTY], default_int64=unknown,
    )  # fmt: skip
    proto.graph.node.insert(0, encode)
    own = next(value for value in proto.graph.input if value.name == given.name)
    own.type.tensor_type.elem_type = TensorProto.STRING
    if not any(used.domain == "ai.onnx.ml" for used in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))


def _safetensors(path: str, target: Path) -> None:
    from safetensors.torch import save_file

    content = load_model(path)
    tensors = {
        f"members.{number}.{name}": tensor.contiguous()
        for number, member in enumerate(content["members"])
        for name, tensor in member["weights"].items()
    }
    data = {key: value for key, value in content["data"].items() if key != "held_out"}  # which is no weight, but rows
    kept = {"mtl": content["mtl"], "config": to_json(content["config"]), "data": to_json(data)}
    kept["member_tasks"] = to_json([member["tasks"] for member in content["members"]])
    atomic(target, lambda file: save_file(tensors, file, metadata={"format": "pt", **kept}))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what exporters tell of their own inside."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
