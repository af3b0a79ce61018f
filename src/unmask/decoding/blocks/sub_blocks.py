"""Fast-dLLM v2's blocks: sub-blocks from left to right, after the one column that the block before predicts."""

import math
from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import Grid
from unmask.decoding.interfaces import BLOCK_RULES
from unmask.decoding.state import Candidates, State


@BLOCK_RULES.register("sub_blocks")
@component
class SubBlocks:
    """Write each block of the model as sub-blocks from left to right (Fast-dLLM v2, arXiv 2509.26328).

    While a sub-block is written, the model reads the whole block that it belongs to. The first column of a block is
    written alone before the others, whatever the selection: with shifted logits it is predicted from the last column of
    the finished block before it, as by an autoregressive model. A prompt that ends inside a block leaves that block no
    such first column. Blocks are counted as those of the model: from the first token of the text or of the answer.

    Args:
        block_size: columns of the model's blocks, B; None is the decoder's, else the model's.
        sub_block_size: columns of a sub-block; B is one sub-block for the whole block.
        seeded: write the first column of each block alone; false for models without shifted logits.
        grid: where blocks are counted from, the ``answer`` or the whole ``text``; None: as the model was trained.

    Differs from the paper: without its cache of sub-blocks, which reuses keys and values that are out of date.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    sub_block_size: Annotated[int, Field(ge=1)] = 8
    seeded: bool = True
    grid: Grid | None = None

    def slide(self, state: State) -> None:
        """Return None: sub-blocks stay until they are full."""
        del state

    def sized(self, block_size: int, grid: Grid = "answer") -> "SubBlocks":
        """Return the rule with the decoder's block size and, unless it has its own, the model's grid."""
        return replace(self, block_size=block_size, grid=self.grid or grid)

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
        """Return the offset where the sub-block ends, one on for a first column; at most the end of the canvas."""
        inside = (start + (state.prompt_length if self.grid == "text" else 0)) % self._size()
        width = self.sub_block_size - inside % self.sub_block_size
        width = torch.minimum(width, self._size() - inside)
        if self.seeded:
            width = torch.where(inside == 0, 1, width)
        return torch.minimum(start + width, state.batch.canvas_length)

    def cut(self, candidates: Candidates) -> None:
        """Return None: sub-blocks end where ``end`` put them."""
        del candidates

    def blocks(self, canvas: int) -> int:
        """Return the number of sub-blocks of a canvas that begins with a block, first columns not counted."""
        whole, rest = divmod(canvas, self._size())
        return whole * math.ceil(self._size() / self.sub_block_size) + math.ceil(rest / self.sub_block_size)

    def _size(self) -> int:
        if self.block_size is None:
            raise ValueError("sub-blocks without a block size; take the rule from Decoder.resolve() or give block_size")
        return self.block_size
