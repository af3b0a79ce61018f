"""What block rules share that look at the first predictions for a block before they say where it ends."""

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
    """Ask about the window or the usual size, whichever is larger, and cut the block on the answers.

    Args:
        block_size: the usual size; None is the decoder's.
        window: how far to look, as a share of the canvas.
    """

    block_size: int | None
    window: float

    @abstractmethod
    def ends(self, candidates: Candidates, window: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """Return how wide each block shall be, judged on its first ``window`` places; 0: as usual."""
        ...

    def slide(self, state: State) -> None:
        """They stay."""
        del state

    def sized(self, block_size: int, grid: Grid = "answer") -> "Fitted":
        """Take the decoder's block size."""
        del grid
        return replace(self, block_size=block_size)  # type: ignore[type-var]  # every rule is a dataclass

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
        """The farther of the window and the usual size, at most the canvas."""
        canvas = state.batch.canvas_length
        return torch.minimum(start + torch.clamp(self._window(canvas), min=self._size()), canvas)

    def cut(self, candidates: Candidates) -> Int[Tensor, " R"] | None:
        """Take the size that the predictions ask for, or the usual one."""
        if not bool((candidates.block_steps == 0).any()):
            return None
        found = self.ends(candidates, self._window(candidates.canvas))
        return torch.where(found > 0, found, self._size())

    def blocks(self, canvas: int) -> int:
        """Refuse: nobody knows before."""
        del canvas
        raise UserError(
            "steps: blocks that are cut as decoding goes cannot share them out; leave steps out, or use the block rule "
            "'fixed'"
        )

    def _window(self, canvas: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        return at_most(self.window, canvas).clamp(min=1)

    def _size(self) -> int:
        if self.block_size is None:
            raise ValueError("a block rule without a size; take it from Decoder.parts() or give block_size")
        return self.block_size
