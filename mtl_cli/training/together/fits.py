"""Which members can be trained at once, as one batched network: plain stacks of layers, under any of our balancers."""

from __future__ import annotations

from collections.abc import Iterator

from mtl_cli.balancing.base import COSTS
from mtl_cli.config.registry import name_of
from mtl_cli.data.inputs import DenseRows
from mtl_cli.training.build import Run
from mtl_cli.training.callbacks.base import chosen
from mtl_cli.training.device import multiply_adds
from mtl_cli.training.together.network import plain_layers

MOST_WORK = 10_000_000
"""Multiply-adds of a step's forward pass above which training at once was measured to bring nothing."""


def hindrance(run: Run) -> str | None:
    """Return why a run's members, of which this is the first, are to be trained in turn; None if at once.

    The others are of the same architecture. What a step does besides the layers, the losses and the balancer's weights
    (penalties, frozen layers, half precision, several batches, callbacks that do more than watch) is done in turn only.
    """
    return next(_hindrances(run), None)


def _hindrances(run: Run) -> Iterator[str]:
    config, network, inputs = run.ready.config, run.network, run.batches.inputs
    trainer, balancer, rates = config.trainer, config.balancer, config.optimizer.lr_scale
    if run.ready.device.type != "cpu":
        yield f"device={run.ready.device.type}"
    if trainer.accumulate != 1:
        yield "trainer.accumulate"
    if trainer.precision != "float32":
        yield f"trainer.precision={trainer.precision}"
    if not all(callback.watches for callback in chosen(config).values()):
        yield "trainer.callbacks"
    if balancer.needs not in COSTS or (balancer.needs == "jacobian" and balancer.at_representation):
        yield f"balancer={name_of('balancer', balancer)}"
    if balancer.needs != "losses" and balancer.backend != "auto":
        yield f"balancer.backend={balancer.backend}"
    if not config.optimizer.elementwise or not rates.trunk == rates.decay == 1:
        yield "the optimizer" if not config.optimizer.elementwise else "optimizer.lr_scale"
    if not run.penalties.none:
        yield "a regularizer"
    if config.model.trunk.freeze != "none":
        yield "model.trunk.freeze"
    heads = [plain_layers([head]) for head in network.heads.values()]
    if network.merges or plain_layers(network.stack()) is None or any(layers is None for layers in heads):
        yield "the network is more than a plain perceptron"
    elif not isinstance(inputs, DenseRows) or inputs.values.dim() != 2 or not inputs.values.is_floating_point():
        yield "the inputs are more than a table of numbers"
    elif run.batches.batch_size * multiply_adds(network, inputs.take(slice(0, 1))) > MOST_WORK:
        yield "the network is large enough to fill the processor by itself"
