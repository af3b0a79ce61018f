"""A fixed number of tokens a step: LLaDA's semi-autoregressive sampler."""

from typing import Annotated

import torch
from jaxtyping import Bool, Int
from pydantic import AfterValidator
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import SELECTIONS
from unmask.decoding.ranking import top
from unmask.decoding.scores import check_score
from unmask.decoding.selection.unrefined import Unrefined
from unmask.decoding.state import Candidates


@SELECTIONS.register("quota")
@part
class Quota(Unrefined):
    """Write the quota's surest tokens (LLaDA, arXiv 2502.09992, Algorithm 5 and its generate.py).

    A block with n open places and s steps writes n // s tokens a step, one more in each of the first n mod s steps.

    Args:
        score: a name of ``unmask.decoding.scores``: ``low_confidence``, ``entropy``, ``margin``, ``random``, …

    Differs from the paper: steps whose quota is 0 (s > n) are not run; ties go to the leftmost place; the mask token is
    never proposed.
    """

    score: Annotated[str, AfterValidator(check_score)] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Pick the quota's best places."""
        return top(candidates.score, candidates.is_open, share(candidates))


def share(candidates: Candidates) -> Int[Tensor, " R"]:
    """Return how many places each row writes at this step, so that a block takes ``steps``; None: one a step."""
    opened = candidates.block_open
    planned = opened if candidates.steps is None else opened.clamp(max=candidates.steps)
    planned = planned.clamp(min=1)
    quota = opened // planned + (candidates.block_steps < opened % planned).long()
    return torch.clamp(quota, min=1)
