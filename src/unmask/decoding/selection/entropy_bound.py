"""The EB-Sampler: as many tokens as a budget of entropy pays for."""

from typing import Annotated, ClassVar

from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import Positive, ranks
from unmask.decoding.state import Candidates


@SELECTIONS.register("entropy_bound")
@component
class EntropyBound(SelectionDefaults):
    """Write the most certain positions while the entropy before the last of them is in a budget (arXiv 2505.24857).

    With entropies H_1 <= H_2 <= ... in nats: the largest k with (sum of H_1 to H_k) - H_k <= bound, at least one. The
    left side bounds the mutual information of the k tokens, what is lost by writing them independently.

    Args:
        bound: the budget, gamma, in nats; 0.1 and below is careful. 0 still writes every position of zero entropy and
            one more; infinity writes the block at once.
        cap: most tokens a step; 1 is ``quota`` by entropy.

    Differs from the paper: ordered by entropy only; ties go to the left.
    """

    bound: Positive = 0.1
    cap: Annotated[int, Field(ge=1)] | None = None

    score: ClassVar[str] = "entropy"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the positions of the lowest entropies whose sum before each is within the bound."""
        rank = ranks(candidates.score, candidates.is_open)
        entropy = (-candidates.score).clamp(min=0)
        in_order = entropy.gather(1, rank.argsort(dim=-1))
        before = (in_order.cumsum(-1).roll(1, dims=-1)).gather(1, rank)
        passes = (rank == 0) | (before <= self.bound)
        if self.cap is not None:
            passes = passes & (rank < self.cap)
        return candidates.is_open & passes
