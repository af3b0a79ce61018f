"""RemeDi: of written tokens and new ones, those with the highest confidence by a trained head are kept."""

from typing import ClassVar, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.config.components import component
from unmask.core.protocols import Denoiser
from unmask.decoding.interfaces import REVISIONS
from unmask.decoding.scores import ranks
from unmask.decoding.state import Candidates, Change, State
from unmask.errors import UserError
from unmask.heads.confidence import ConfidenceStream

HEAD = "confidence"


@REVISIONS.register("remedi")
@component
class RemediRevision:
    """Rank the whole block by the confidence stream and keep the best (RemeDi, arXiv 2509.23653).

    The selection decides how many positions are filled after this step: those that are, and as many as it chose. Of all
    positions of the block, written or open, those with the highest confidence logit are filled: open ones are written,
    written ones that fall behind are hidden again. Needs the head ``confidence``, which the objective ``remedi``
    trains, and the selection ``quota`` for the paper's schedule. A row ends between blocks only.

    Differs from the paper: ranks by the confidence stream, as described, where the released script ranks by the raw
    token logit; among equals, written positions come first, then the leftmost; stops at the end of text.
    """

    queries_written: ClassVar[bool] = True
    head: ClassVar[str | None] = HEAD
    selection: ClassVar[str | None] = None
    view: ClassVar[str | None] = None

    def observe(self, model: Denoiser, queried: Int[Tensor, "K 2"]) -> Float[Tensor, " K"]:
        """Return the confidence logits of the last forward.

        Args:
            model: with the head ``confidence``.
            queried: (row, column) of each.

        Returns:
            A logit for each.

        Raises:
            UserError: the model has no such head.
        """
        if HEAD not in model.heads:
            raise UserError(
                f"the revision 'remedi' needs a model with the head '{HEAD}', found none; train it with the objective "
                "remedi, or use the revision 'none'"
            )
        head = cast("ConfidenceStream", model.heads[HEAD])
        return head.read(queried)

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Return the change that fills the positions with the highest confidence logits, and hides the others."""
        del state
        if candidates.correctness is None:
            raise TypeError("RemeDi's revision needs what it observed")
        is_open, is_queried = candidates.is_open, candidates.is_queried
        is_written = is_queried & ~is_open
        number = (is_written.sum(1) + chosen.sum(1))[:, None]
        # A stable sort keeps the order among equals; written positions go in front of it.
        front = (~is_written).long().argsort(dim=1, stable=True)
        rank = torch.empty_like(front)
        rank.scatter_(1, front, ranks(candidates.correctness.gather(1, front), is_queried.gather(1, front)))
        is_filled = is_queried & (rank < number)
        return Change(write=is_filled & is_open, hide=is_written & ~is_filled)

    def holds(self, state: State, changed: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return whether each block has open positions; until then every token of it may be taken back."""
        del changed
        return state.has_open
