"""Block rules: which part of the canvas is in play."""

import math
from typing import Annotated

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from unmask.attention import Grid
from unmask.config import part
from unmask.decoding.base import BLOCK_RULES
from unmask.decoding.state import Candidates, State


@BLOCK_RULES.register("fixed")
@part
class Fixed:
    """Blocks of one size; the last may be shorter.

    Args:
        block_size: S; None is the decoder's.
        grid: counted from the first token of the ``answer``, or of the whole ``text``, so that the first block holds
            what the prompt leaves of it (SDAR); None: as the model was trained.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    grid: Grid | None = None

    def slide(self, state: State) -> None:
        """They stay."""
        del state

    def sized(self, block_size: int, grid: Grid = "answer") -> "Fixed":
        """Take the decoder's block size, and the model's grid."""
        return Fixed(block_size=block_size, grid=self.grid or grid)

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
        """S columns on, or up to the next line of the grid; at most the canvas."""
        end = start + self._size()
        if self.grid == "text":
            end = end - (state.prompt_length + start) % self._size()
        return torch.minimum(end, state.batch.canvas_length)

    def cut(self, candidates: Candidates) -> None:
        """As they are."""
        del candidates

    def blocks(self, canvas: int) -> int:
        """Round up."""
        return math.ceil(canvas / self._size())

    def _size(self) -> int:
        if self.block_size is None:
            raise ValueError("a fixed block rule without a size; take it from Decoder.parts() or give block_size")
        return self.block_size


@BLOCK_RULES.register("whole")
@part
class Whole:
    """The whole canvas at once: full diffusion."""

    @property
    def block_size(self) -> None:
        """None of its own."""
        return None

    def slide(self, state: State) -> None:
        """They stay."""
        del state

    def sized(self, block_size: int, grid: Grid = "answer") -> "Whole":
        """Nothing to take over."""
        del block_size, grid
        return self

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
        """Up to the end of the canvas."""
        del start
        return state.batch.canvas_length

    def cut(self, candidates: Candidates) -> None:
        """As it is."""
        del candidates

    def blocks(self, canvas: int) -> int:
        """One."""
        del canvas
        return 1
