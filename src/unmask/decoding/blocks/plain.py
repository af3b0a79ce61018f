"""Block rules: which part of the canvas is in play."""

import math
from typing import Annotated

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import BLOCK_RULES
from unmask.decoding.state import Candidates, State


@BLOCK_RULES.register("fixed")
@part
class Fixed:
    """Blocks of one size from the first answer token on; the last may be shorter.

    Args:
        block_size: S; None is the decoder's.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None

    def slide(self, state: State) -> None:
        """They stay."""
        del state

    def sized(self, block_size: int) -> "Fixed":
        """Take the decoder's block size."""
        return Fixed(block_size=block_size)

    def end(self, start: Int[Tensor, " R"], canvas: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """S columns on, at most the canvas."""
        return torch.minimum(start + self._size(), canvas)

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

    def sized(self, block_size: int) -> "Whole":
        """Nothing to take over."""
        del block_size
        return self

    def end(self, start: Int[Tensor, " R"], canvas: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """Up to the end of the canvas."""
        del start
        return canvas

    def cut(self, candidates: Candidates) -> None:
        """As it is."""
        del candidates

    def blocks(self, canvas: int) -> int:
        """One."""
        del canvas
        return 1
