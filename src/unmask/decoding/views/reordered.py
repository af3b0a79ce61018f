"""WeDLM's view for causal models: what is written is read before what is open, at its true position."""

from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import BlockCausal
from unmask.core.protocols import Denoiser, Query
from unmask.decoding.defaults import CanvasView
from unmask.decoding.interfaces import VIEWS
from unmask.decoding.state import State


@VIEWS.register("reordered")
@component
class Reordered(CanvasView):
    """Every column sees what precedes it: prompt and written tokens first, open positions after (WeDLM, 2512.22737).

    Both keep their order and their true positions. So an open position of a causal model sees all that is written, to
    its right, too, and the open positions to its left. For models that were trained in this way; what a model's own
    attention is does not count.

    Differs from the paper: columns stay where they are, and the order is in who sees whom, which is the same to the
    model; no cache (arXiv 2512.22737 keeps the run of written tokens on the left).
    """

    lays_out: ClassVar[bool] = True

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], query_positions: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K 2"]]:
        """Return the live rows with columns numbered in the order in which they are read, each a block of its own."""
        query, queried = super().query(model, state, rows, query_positions)
        columns = state.ids.shape[1]
        number = torch.arange(columns, device=rows.device) + columns * state.is_open[rows].long()
        return replace(query, columns=replace(query.columns, block=number), rule=BlockCausal()), queried
