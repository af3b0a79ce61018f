"""Full diffusion: the canvas is one block."""

from jaxtyping import Int
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import Grid
from unmask.decoding.interfaces import BLOCK_RULES
from unmask.decoding.state import Candidates, State


@BLOCK_RULES.register("whole")
@component
class Whole:
    """The whole canvas at once: full diffusion."""

    @property
    def block_size(self) -> None:
        """None: it sets no size."""
        return None

    def slide(self, state: State) -> None:
        """Return None: the block stays until it is full."""
        del state

    def sized(self, block_size: int, grid: Grid = "answer") -> "Whole":
        """Return the rule unchanged: sizes do not matter to it."""
        del block_size, grid
        return self

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
        """Return the end of the canvas of each row."""
        del start
        return state.batch.canvas_length

    def cut(self, candidates: Candidates) -> None:
        """Return None: the block ends where ``end`` put it."""
        del candidates

    def blocks(self, canvas: int) -> int:
        """Return 1, whatever the canvas."""
        del canvas
        return 1
