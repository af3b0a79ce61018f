"""Checks the least memory that a training run needs, before anything is loaded."""

from dataclasses import dataclass

import torch

from unmask.errors import UserError
from unmask.runtime.memory import STREAMS, free_memory

_COPIES = 3  # of a trained weight: its gradient and the two moments of AdamW
_FLOAT = 4  # bytes of a number in float32


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a model is.

    Args:
        weights: number of weights.
        trained: how many of them are trained; None: all.
        item: bytes of one weight.
        hidden: width of the states.
        layers: number of layers.
    """

    weights: int
    trained: int | None = None
    item: int = 4
    hidden: int
    layers: int


def check_training_memory(
    size: Size, device: torch.device, *, columns: int, recomputed: bool, averaged: bool = False, copied: bool = False
) -> None:
    """Check that the least memory of a run is free: weights, gradients, moments of AdamW, states of the rows.

    Args:
        size: of the model, which is not loaded yet.
        device: that trains it.
        columns: of a micro-batch, all rows together.
        recomputed: whether the states of most layers are recomputed in the backward pass.
        averaged: whether an average of the trained weights is kept, in float32.
        copied: whether the optimiser updates float32 copies of weights in half precision.

    Raises:
        UserError: it is not; names what is needed and what is free.
    """
    trained = size.weights if size.trained is None else size.trained
    states = columns * size.hidden * size.item * (STREAMS + (1 if recomputed else STREAMS) * (size.layers - 1))
    each = _COPIES * size.item
    if copied and size.item < _FLOAT:  # the gradient; the copy, its gradient and its two moments
        each = size.item + 4 * _FLOAT
    need = size.weights * size.item + trained * (each + (_FLOAT if averaged else 0)) + states
    free = free_memory(device)
    if free is None or need <= free:
        return
    raise UserError(
        f"memory: training takes at least {need / 2**30:,.1f} GiB ({size.weights:,} weights, {trained:,} of them "
        f"trained, {columns:,} columns at once), found {free / 2**30:,.1f} GiB free on {device}; train adapters "
        "(model.lora), a smaller dtype or smaller batches (run.batch_size)"
    )
