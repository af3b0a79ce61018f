"""Fast-dLLM's confidence threshold: every token whose score is high enough."""

from typing import Annotated

from jaxtyping import Bool
from pydantic import AfterValidator
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults, share
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import Limit, check_score, top
from unmask.decoding.state import Candidates


@SELECTIONS.register("threshold")
@component
class Threshold(SelectionDefaults):
    """Write every position with score >= threshold, at least the best one (Fast-dLLM, arXiv 2505.22618, Algorithm 1).

    A threshold above 1 writes one token a step; 0 writes the whole block at once. (1 is not "one a step": a
    probability often rounds to exactly 1.)

    Args:
        threshold: smallest score that is written.
        score: ``low_confidence``, ``entropy`` (negative), or another name of ``unmask.decoding.scores``.
        strict: scores must exceed the threshold, so that 1 writes one token a step (SDAR, LLaDA2.0, Fast-dLLM v2).

    With ``steps`` each step writes at least its share of them, as ``quota`` would: SDAR's dynamic low-confidence
    remasking (arXiv 2510.06303).

    Differs from the paper: ties go to the leftmost position.
    """

    threshold: Limit = 0.9
    score: Annotated[str, AfterValidator(check_score)] = "low_confidence"
    strict: bool | None = None

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the positions that pass, and the best ones up to the quota of this step."""
        best = top(candidates.score, candidates.is_open, share(candidates))
        score, limit = candidates.score, self.threshold
        return best | (candidates.is_open & (score > limit if self.strict else score >= limit))
