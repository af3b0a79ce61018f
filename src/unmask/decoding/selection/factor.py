"""Fast-dLLM's factor rule: as many tokens as their confidence lets be written side by side."""

from typing import ClassVar

from jaxtyping import Bool
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import Positive, ranks
from unmask.decoding.state import Candidates


@SELECTIONS.register("factor")
@component
class Factor(SelectionDefaults):
    """Write the n best positions with (n + 1)(1 - c_n) <= f, at least one (Fast-dLLM, arXiv 2505.22618, Theorem 1).

    c_1 >= c_2 >= ... are the confidences of the block's open positions. If those of n positions are all above 1 - e and
    (n + 1) e <= 1, the most likely tokens of each are the most likely ones together, so f = 1 is what the theorem
    allows. A larger f writes more; 0 writes one token a step, unless several probabilities round to exactly 1; infinity
    writes the block at once.

    Args:
        factor: f.

    Differs from the paper: <= instead of <, as released. The released code accepts the first failing token where that
    is the last of the block; here it is not accepted.
    """

    factor: Positive = 1.0

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the best positions; both factors grow along the ranking, so what passes is a prefix of it."""
        rank = ranks(candidates.score, candidates.is_open)
        bound = (rank + 2) * (1 - candidates.score)
        return candidates.is_open & ((rank == 0) | (bound <= self.factor))
