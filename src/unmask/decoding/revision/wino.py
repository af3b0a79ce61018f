"""Take back tokens that the rest of the text does not confirm: the verifying half of WINO."""

from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import REVISIONS
from unmask.decoding.ranking import top
from unmask.decoding.revision.headless import Headless
from unmask.decoding.scores import Positive, probability
from unmask.decoding.state import Candidates, Change, State

NOTE = "wino"


@REVISIONS.register("wino")
@part
class Verify(Headless):
    """Take back written tokens of the block that a shadow of their column finds unlikely (WINO, arXiv 2507.18578).

    The view ``shadow`` has the model predict every written place as if it were open. A token that has a probability
    below ``threshold`` there is masked again, but only at steps that chose more than one place, and fewer than the step
    before chose, the least likely first: so T steps fill T places at least. New tokens are checked from the next step
    on. A row ends between blocks only. With the selection ``wino``, unless another is named.

    Args:
        threshold: tau_2; 0 takes nothing back and reads no shadows, as ``none`` does.

    Differs from the paper: nothing but the tie rule (leftmost).
    """

    threshold: Positive = 0.9

    selection: ClassVar[str | None] = "wino"

    @property
    def asks_written(self) -> bool:
        """Unless nothing is taken back."""
        return self.threshold > 0

    @property
    def view(self) -> str | None:
        """Where a written place is asked about as if it were open."""
        return "shadow" if self.asks_written else None

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Compare the probability of what stands there with the threshold."""
        del state
        if not self.asks_written:
            return Change(write=chosen, hide=torch.zeros_like(chosen))
        before = candidates.notes.recall(NOTE)
        candidates.notes.keep(NOTE, chosen)
        token = candidates.written[candidates.is_asked]
        sure = candidates.spread(probability(candidates.logits, token))
        is_doubtful = candidates.is_asked & ~candidates.is_open & (sure < self.threshold)
        chose = torch.zeros_like(candidates.width) if before is None else before[0].sum(1)
        number = torch.where(chosen.sum(1) > 1, (chose - 1).clamp(min=0), 0)
        return Change(write=chosen, hide=top(-sure, is_doubtful, number))
