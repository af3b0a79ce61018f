"""Full diffusion: no blocks."""

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
