"""A selection: which open positions are written at this step."""

from typing import Annotated, ClassVar

from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config import component
from unmask.decoding import SELECTIONS, Candidates
from unmask.decoding.defaults import SelectionDefaults


@SELECTIONS.register("leftmost")
@component
class Leftmost(SelectionDefaults):
    """Write the first open positions of the active block, however sure the model is of them.

    Args:
        count: tokens a step.

    Source: unpublished
    """

    count: Annotated[int, Field(ge=1)] = 1
    score: ClassVar[str] = "low_confidence"  # what is recorded of each token that is written

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the positions to write, for R rows and W columns of their blocks."""
        return candidates.is_open & (candidates.is_open.cumsum(1) <= self.count)
