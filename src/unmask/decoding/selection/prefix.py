"""SDLM's selection: left to right, as far as scores are above a threshold."""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool
from pydantic import AfterValidator
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import Limit, check_score
from unmask.decoding.state import Candidates


@SELECTIONS.register("prefix")
@component
class Prefix(SelectionDefaults):
    """Write the longest run of the block's open positions, from the left, that is above a threshold (SDLM, 2509.24007).

    At least the first open position is written, and alone where it does not pass. 1 and above write one token a step,
    left to right; 0 stops at nothing but a score of exactly 0.

    Args:
        threshold: tau, which scores must exceed.
        by: ``each`` position must pass by itself; ``product``: the product of the scores up to it must, the probability
            of the run if its tokens were independent.
        score: ``low_confidence``, or ``certainty`` (1 - H / ln V), the paper's other choice.

    Differs from the paper (arXiv 2509.24007): the run ends with its block, where SDLM starts a fresh window at every
    step.
    """

    threshold: Limit = 0.9
    by: Literal["each", "product"] = "each"
    score: Annotated[str, AfterValidator(check_score)] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the open positions before the first that fails, and the first of all."""
        is_open = candidates.is_open
        score = candidates.score
        if self.by == "product":
            score = torch.where(is_open, score, 1.0).cumprod(-1)
        fails = is_open & (score <= self.threshold)
        # A first position that fails is written nevertheless, but ends the run.
        return is_open & ((fails.cumsum(-1) == 0) | (is_open.cumsum(-1) == 1))
