"""DSB: a window that moves on with every token written."""

import math
from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Bool, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import Grid
from unmask.decoding.interfaces import BLOCK_RULES
from unmask.decoding.state import Candidates, State


@BLOCK_RULES.register("sliding")
@component
class Sliding:
    """A window from the first open position on that always shows S open ones (DSB, arXiv 2602.05992).

    After every step the window starts at the row's first open position and takes in as many new columns as tokens were
    written, so that the last token of a block never waits alone. S of the canvas or more is full diffusion, S = 1 left
    to right. Every S tokens a new round begins: what counts by blocks (``steps``, the clock of ``dream``, the refresh
    of the caches ``prefix`` and ``dual``) counts by rounds. For these caches give ``look_back: 24``, as DSB: they then
    read what the window has just left again; without it they read everything whenever it moves.

    Args:
        block_size: S; None is the decoder's.
        longest: most columns of the window, written ones included; None: any number. With S this is WeDLM's window
            (arXiv 2512.22737).

    Differs from the paper: rows of a batch slide by themselves; given tokens (infilling) do not count; a round is full
    after S tokens, whatever the cache; with ``steps`` each round has its share.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    longest: Annotated[int, Field(ge=1)] | None = None

    def sized(self, block_size: int, grid: Grid = "answer") -> "Sliding":
        """Return the rule with the decoder's block size; it has no grid."""
        del grid
        return replace(self, block_size=block_size)

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
        """Return the offset S columns on, at most the end of the canvas."""
        return torch.minimum(start + self._size(), state.batch.canvas_length)

    def cut(self, candidates: Candidates) -> None:
        """Return None: the predictions do not shorten the window."""
        del candidates

    def slide(self, state: State) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"], Bool[Tensor, " B"]]:
        """Return windows from the first open position to the one after S open ones, or to the end of the canvas."""
        is_open, offset, canvas = state.is_open, state.batch.offset, state.batch.canvas_length
        number = is_open.cumsum(1)
        left = is_open.sum(1)
        beyond = torch.where(is_open & (number > self._size()), offset, canvas[:, None]).amin(1)
        start = torch.where(is_open, offset, canvas[:, None]).amin(1)
        if self.longest is not None:
            beyond = torch.minimum(beyond, start + self.longest)
        is_live = left > 0
        is_new = is_live & ((state.block_end == 0) | (state.block_left - left >= self._size()))
        return torch.where(is_live, start, state.block_start), torch.where(is_live, beyond, state.block_end), is_new

    def blocks(self, canvas: int) -> int:
        """Return the number of rounds: canvas / S, rounded up."""
        return math.ceil(canvas / self._size())

    def _size(self) -> int:
        if self.block_size is None:
            raise ValueError("a sliding block rule without a size; take it from Decoder.resolve() or give block_size")
        return self.block_size
