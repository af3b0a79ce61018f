"""A bold threshold with a cap: the drafting half of WINO."""

from typing import Annotated, ClassVar

from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import SELECTIONS
from unmask.decoding.ranking import ranks
from unmask.decoding.scores import Limit
from unmask.decoding.selection.unrefined import Unrefined
from unmask.decoding.shares import at_most
from unmask.decoding.state import Candidates


@SELECTIONS.register("wino")
@part
class CappedThreshold(Unrefined):
    """Write the places with p > threshold, but not too many of them, at least the best (WINO, arXiv 2507.18578).

    Of m open places at most min(max(floor(share m), least), most), the surest.

    Args:
        threshold: tau_1, which the probability must exceed; 1 and above write one token a step.
        share: of the open places.
        least: the cap is never below it.
        most: nor above it.

    Differs from the paper: nothing but the tie rule (leftmost).
    """

    threshold: Limit = 0.6
    share: Annotated[float, Field(gt=0, le=1)] = 0.7
    least: Annotated[int, Field(ge=1)] = 5
    most: Annotated[int, Field(ge=1)] = 20

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Compare by rank and by threshold."""
        is_open, score = candidates.is_open, candidates.score
        rank = ranks(score, is_open)
        cap = at_most(self.share, is_open.sum(1)).clamp(min=self.least).clamp(max=self.most)
        return is_open & ((rank == 0) | ((score > self.threshold) & (rank < cap[:, None])))
