"""A threshold that is the mean of what was written so far: Saber."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import SELECTIONS
from unmask.decoding.ranking import top
from unmask.decoding.selection.unrefined import Unrefined
from unmask.decoding.state import Candidates


@SELECTIONS.register("saber")
@part
class RunningMean(Unrefined):
    """Write every place that is surer than the row's tokens were, on average, when written (Saber, arXiv 2510.18165).

    The threshold is the mean probability, at the time, of all tokens that decoding wrote into the row and that stand;
    1 where there are none. The ``least`` surest places are written in any case, as far as there are so many.

    Args:
        least: n; 1 writes one token at the first step of a row.

    Differs from the paper: only the active block's open places, and never more than there are (the released code takes
    the n best of whatever is left); taken-back tokens leave the mean at once, not when they are rewritten.
    """

    least: Annotated[int, Field(ge=1)] = 2

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Compare with the row's mean, strictly."""
        is_open, score = candidates.is_open, candidates.score
        floor = top(score, is_open, torch.full_like(candidates.block_open, self.least))
        return floor | (is_open & (score > candidates.sureness()[:, None]))
