"""What most selections are: a choice among the proposals as they come, at every step."""

from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from unmask.decoding.notes import Notebook
from unmask.decoding.state import Candidates


class Unrefined:
    """The neutral half of a selection."""

    may_wait: ClassVar[bool] = False

    def fuse(
        self, logits: Float[Tensor, "K V"], *, notes: Notebook, is_asked: Bool[Tensor, "R W"], mask_id: int
    ) -> Float[Tensor, "K V"]:
        """As the model said."""
        del notes, is_asked, mask_id
        return logits

    def refine(self, candidates: Candidates) -> Candidates:
        """As they are."""
        return candidates
