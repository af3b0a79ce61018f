"""The spacing filter of DUS, around any selection: no neighbours are written in one step."""

from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BeforeValidator, Field, SkipValidation
from torch import Tensor

from unmask.config.components import component, resolver
from unmask.decoding.interfaces import SELECTIONS, Selection
from unmask.decoding.scores import ranks
from unmask.decoding.selection.threshold import Threshold
from unmask.decoding.state import Candidates, MemoryAccess


@SELECTIONS.register("spaced")
@component
class Spaced:
    """Of what another selection chose, write only positions that stand apart (DUS, arXiv 2506.19037).

    From the best on, a chosen position is written if it is at least g columns from all that were taken before it, with
    g = max(2, floor(open positions * gap / S)): the gap shrinks as the block fills. The best is always written.

    Args:
        inner: the selection that chooses.
        gap: g where the whole block is open; 0 is the inner selection as it is.

    Differs from the paper: around any selection (the released code has it around a threshold and an entropy bound).
    """

    inner: Annotated[Selection, SkipValidation, BeforeValidator(resolver(SELECTIONS))] = Threshold()
    gap: Annotated[int, Field(ge=0)] = 8

    @property
    def score(self) -> str:
        """Name of the score that the inner selection selects by."""
        return str(self.inner.score)

    @property
    def may_wait(self) -> bool:
        """Whether the inner selection may write nothing at a step."""
        return bool(self.inner.may_wait)

    def fuse(
        self, logits: Float[Tensor, "K V"], *, memory: MemoryAccess, is_queried: Bool[Tensor, "R W"], mask_id: int
    ) -> Float[Tensor, "K V"]:
        """Return the logits as the inner selection changes them."""
        fused: Tensor = self.inner.fuse(logits, memory=memory, is_queried=is_queried, mask_id=mask_id)
        return fused

    def refine(self, candidates: Candidates) -> Candidates:
        """Return the candidates as the inner selection changes them."""
        refined: Candidates = self.inner.refine(candidates)
        return refined

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return what the inner selection chose, thinned out."""
        chosen: Tensor = self.inner.select(candidates)
        if self.gap == 0:
            return chosen
        width = candidates.width.clamp(min=1)
        gap = (candidates.is_open.sum(1) * self.gap // width).clamp(min=2)
        return thinned(chosen, ranks(candidates.score, chosen), gap)


def thinned(chosen: Bool[Tensor, "R W"], rank: Int[Tensor, "R W"], gap: Int[Tensor, " R"]) -> Bool[Tensor, "R W"]:
    """Return the chosen positions that, taken in the order of their ranks, are ``gap`` columns from all taken before.

    Args:
        chosen: what to thin out.
        rank: of each position, 0 for the best.
        gap: columns between neighbours of each row, at least.

    Returns:
        A subset of ``chosen``; the best of each row is in it.
    """
    ramp = torch.arange(chosen.shape[1], device=chosen.device)
    kept = torch.zeros_like(chosen)
    for number in range(int(chosen.sum(1).max()) if len(chosen) else 0):
        is_next = chosen & (rank == number)
        near = (ramp - is_next.long().argmax(1, keepdim=True)).abs() < gap[:, None]
        kept = kept | (is_next & ~(kept & near).any(1, keepdim=True))
    return kept
