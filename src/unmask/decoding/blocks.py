"""Block rules: which part of the canvas is in play."""

import math
from typing import Annotated

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import BLOCK_RULES


@BLOCK_RULES.register("fixed")
@part
class Fixed:
    """Blocks of one size from the first answer token on; the last may be shorter.

    Args:
        block_size: S.
    """

    block_size: Annotated[int, Field(ge=1)] = 32

    def end(self, start: Int[Tensor, " R"], canvas: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """S columns on, at most the canvas."""
        return torch.minimum(start + self.block_size, canvas)

    def blocks(self, canvas: int) -> int:
        """Round up."""
        return math.ceil(canvas / self.block_size)


@BLOCK_RULES.register("whole")
@part
class Whole:
    """The whole canvas at once: full diffusion."""

    def end(self, start: Int[Tensor, " R"], canvas: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """Up to the end of the canvas."""
        del start
        return canvas

    def blocks(self, canvas: int) -> int:
        """One."""
        del canvas
        return 1
