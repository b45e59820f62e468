"""What people write for a key or a value of ours, because other tools call it so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mtl_cli.config.errors import Problem

UNKNOWN_KEY = "unknown key"

KEYS = {
    "epochs": "trainer.epochs", "epoch": "trainer.epochs", "max_epochs": "trainer.epochs", "n_epochs": "trainer.epochs",
    "num_epochs": "trainer.epochs", "batch_size": "trainer.batch_size", "batch": "trainer.batch_size",
    "bs": "trainer.batch_size", "patience": "trainer.early_stopping.patience",
    "early_stopping": "trainer.early_stopping",
    "precision": "trainer.precision", "amp": "trainer.precision", "clip": "trainer.clip_norm",
    "grad_clip": "trainer.clip_norm", "lr": "optimizer.lr", "learning_rate": "optimizer.lr",
    "wd": "optimizer.weight_decay", "weight_decay": "optimizer.weight_decay", "momentum": "optimizer.momentum",
    "optim": "optimizer", "lr_scheduler": "scheduler", "sched": "scheduler",
    "hidden": "model.trunk.hidden", "hidden_size": "model.trunk.hidden", "hidden_sizes": "model.trunk.hidden",
    "layers": "model.trunk.hidden", "dropout": "model.trunk.dropout", "activation": "model.trunk.activation",
    "sharing": "model.sharing", "trunk": "model", "backbone": "model", "network": "model", "arch": "model",
    "balancing": "balancer", "weighting": "balancer", "data": "dataset", "file": "dataset", "csv": "dataset",
    "input": "dataset", "target": "tasks", "targets": "tasks", "task": "tasks", "label": "tasks", "labels": "tasks",
    "test_size": "dataset.split.test", "val_size": "dataset.split.val", "random_state": "seed", "random_seed": "seed",
    "output": "run_dir", "output_dir": "run_dir", "out": "run_dir", "out_dir": "run_dir", "save_dir": "run_dir",
    "pretrained": "init_from", "checkpoint": "init_from", "config": "experiment", "recipe": "experiment",
    "resume_from": "resume", "resume_from_checkpoint": "resume", "ckpt_path": "resume", "restart": "resume",
    "jobs": "n_jobs", "num_workers": "n_jobs", "workers": "n_jobs", "plot": "plots",
}  # fmt: skip
"""Our key, by a name for it."""

VALUES = {
    "gpu": "cuda", "gpus": "cuda", "cuda:0": "cuda", "nvidia": "cuda", "metal": "mps", "apple": "mps",
    "fp32": "float32", "32": "float32", "fp16": "float16", "half": "float16", "16": "float16", "bf16": "bfloat16",
    "swish": "silu", "leakyrelu": "leaky_relu", "batchnorm": "batch", "layernorm": "layer",
    "classification": "multiclass", "categorical": "multiclass", "softmax": "multiclass", "logistic": "binary",
    "bool": "binary", "boolean": "binary", "continuous": "regression", "numeric": "regression", "linear": "regression",
}  # fmt: skip
"""Our word, by a word for it."""


def value_meant(value: str, options: Iterable[str]) -> str | None:
    """Say which of the options is meant, if that is known."""
    meant = VALUES.get(value.lower())
    return f"did you mean {meant}?" if meant is not None and meant in options else None


def key_meant(name: str, known: Iterable[str]) -> str | None:
    """Return the key that is meant by a name: by the table, or by being the last part of one known key only."""
    last = name.rpartition(".")[2].lower().replace("-", "_")
    inside = [key for key in known if key.rpartition(".")[2] == last and key != name]
    if last in KEYS and KEYS[last] != name:
        return KEYS[last]
    return inside[0] if len(inside) == 1 else None


def improve(problem: Problem, known: Iterable[str], said: Mapping[str, str]) -> Problem:
    """Return the problem with the key that was meant, if it is an unknown key and that can be told.

    Parameters
    ----------
    problem : Problem
    known : iterable of str
        All keys that there are.
    said : mapping of str to str
        What the user gave each key, as text.
    """
    near = problem.hint is not None and problem.hint.startswith("did you mean")
    if problem.what != UNKNOWN_KEY or ("." in problem.where and near):
        return problem
    meant = key_meant(problem.where, known)
    if meant is None:
        return problem
    value = f"={said[problem.where]}" if problem.where in said else ""
    return Problem(problem.where, problem.what, f"did you mean {meant}{value}?")
