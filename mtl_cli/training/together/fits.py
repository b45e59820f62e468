"""Which members can be trained at once, as one batched network: plain stacks of layers, balanced by their losses."""

from __future__ import annotations

from mtl_cli.data.inputs import DenseRows
from mtl_cli.training.build import Run
from mtl_cli.training.callbacks.base import chosen
from mtl_cli.training.device import multiply_adds
from mtl_cli.training.together.network import plain_layers

MOST_WORK = 2_000_000
"""Multiply-adds of a step's forward pass above which training at once was measured to bring nothing."""


def fits(run: Run) -> bool:
    """Whether a run's members, of which this is the first, can be trained at once, and quicker than in turn.

    The others are of the same architecture. What a step does besides the layers, the losses and the balancer's weights
    (penalties, frozen layers, half precision, several batches, callbacks that do more than watch) is done in turn only.
    """
    config, network, inputs = run.ready.config, run.network, run.batches.inputs
    trainer, balancer = config.trainer, config.balancer
    plain_step = trainer.accumulate == 1 and trainer.precision == "float32"
    plain_step &= all(callback.watches for callback in chosen(config).values())
    plain_weights = balancer.needs == "losses" and balancer.heads == "weighted" and not balancer.looks_ahead
    rates = config.optimizer.lr_scale
    plain_rates = config.optimizer.elementwise and rates.trunk == rates.decay == 1
    plain_network = (
        plain_layers(network.stack()) is not None
        and all(plain_layers([head]) is not None for head in network.heads.values())
        and not network.merges
        and run.penalties.none
        and config.model.trunk.freeze == "none"
    )
    if not (plain_step and plain_weights and plain_rates and plain_network) or run.ready.device.type != "cpu":
        return False
    if not isinstance(inputs, DenseRows) or inputs.values.dim() != 2 or not inputs.values.is_floating_point():
        return False
    return run.batches.batch_size * multiply_adds(network, inputs.take(slice(0, 1))) <= MOST_WORK
