"""The base of block rules that look at the first predictions for a block before they fix its end."""

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from unmask.core.attention import Grid
from unmask.decoding.shares import at_most
from unmask.decoding.state import Candidates, State
from unmask.errors import UserError


class Fitted(ABC):
    """Query the window or the usual size, whichever is larger, and cut the block on the predictions.

    Args:
        block_size: the usual size; None is the decoder's.
        window: how far to look, as a share of the canvas.
    """

    block_size: int | None
    window: float

    @abstractmethod
    def ends(self, candidates: Candidates, window: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """Return how wide each block shall be, judged on its first ``window`` columns; 0: the usual size."""
        ...

    def slide(self, state: State) -> None:
        """Return None: blocks stay until they are full."""
        del state

    def sized(self, block_size: int, grid: Grid = "answer") -> "Fitted":
        """Return the rule with the decoder's block size; it has no grid."""
        del grid
        return replace(self, block_size=block_size)  # type: ignore[type-var]  # every rule is a dataclass

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
        """Return the offset at the farther end of the window and the usual size, at most the end of the canvas."""
        canvas = state.batch.canvas_length
        return torch.minimum(start + torch.clamp(self._window(canvas), min=self._size()), canvas)

    def cut(self, candidates: Candidates) -> Int[Tensor, " R"] | None:
        """Return the width that the predictions lead to, or the usual one; None if no block has just begun."""
        if not bool((candidates.block_steps == 0).any()):
            return None
        found = self.ends(candidates, self._window(candidates.canvas))
        return torch.where(found > 0, found, self._size())

    def blocks(self, canvas: int) -> int:
        """Raise a UserError: the number of blocks is not known beforehand."""
        del canvas
        raise UserError(
            "steps: blocks that are cut as decoding goes cannot share them out; leave steps out, or use the block rule "
            "'fixed'"
        )

    def _window(self, canvas: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        return at_most(self.window, canvas).clamp(min=1)

    def _size(self) -> int:
        if self.block_size is None:
            raise ValueError("a block rule without a size; take it from Decoder.resolve() or give block_size")
        return self.block_size
