"""WINO: many tokens are written at once, and those that the rest of the text does not confirm are taken back."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import RevisionDefaults, SelectionDefaults
from unmask.decoding.interfaces import REVISIONS, SELECTIONS
from unmask.decoding.scores import Limit, Positive, probability, ranks, top
from unmask.decoding.shares import at_most
from unmask.decoding.state import Candidates, Change, State


@SELECTIONS.register("wino")
@component
class WinoSelection(SelectionDefaults):
    """Write the positions with p > threshold, but not too many of them, at least the best (WINO, arXiv 2507.18578).

    Of m open positions at most min(max(floor(share m), least), most), those with the highest p.

    Args:
        threshold: tau_1, which the probability must exceed; 1 and above write one token a step.
        share: of the open positions.
        least: the cap is never below it.
        most: nor above it.

    Differs from the paper: nothing but the tie rule (leftmost).
    """

    threshold: Limit = 0.6
    share: Annotated[float, Field(gt=0, le=1)] = 0.7
    least: Annotated[int, Field(ge=1)] = 5
    most: Annotated[int, Field(ge=1)] = 20

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the best position, and those above the threshold whose rank is below the cap."""
        is_open, score = candidates.is_open, candidates.score
        rank = ranks(score, is_open)
        cap = at_most(self.share, is_open.sum(1)).clamp(min=self.least).clamp(max=self.most)
        return is_open & ((rank == 0) | ((score > self.threshold) & (rank < cap[:, None])))


MEMORY = "wino"


@REVISIONS.register("wino")
@component
class WinoRevision(RevisionDefaults):
    """Hide written tokens again that a shadow of their column finds unlikely (WINO, arXiv 2507.18578).

    The view ``shadow`` has the model predict every written position as if it were open. A token that has a probability
    below ``threshold`` there is masked again, but only at steps that chose more than one position, and fewer than the
    step before chose, the least likely first: so T steps fill T positions at least. New tokens are checked from the
    next step on. A row ends between blocks only. With the selection ``wino``, unless another is named.

    Args:
        threshold: tau_2; 0 takes nothing back and reads no shadows, as ``none`` does.

    Differs from the paper: nothing but the tie rule (leftmost).
    """

    threshold: Positive = 0.9

    selection: ClassVar[str | None] = "wino"

    @property
    def queries_written(self) -> bool:
        """Whether tokens are ever taken back: the threshold is above 0."""
        return self.threshold > 0

    @property
    def view(self) -> str | None:
        """``shadow``, which queries a written position as if it were open; None if nothing is taken back."""
        return "shadow" if self.queries_written else None

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Return the change that writes what was chosen, and hides tokens that are unlikely at their shadows."""
        del state
        if not self.queries_written:
            return Change(write=chosen, hide=torch.zeros_like(chosen))
        before = candidates.memory.recall(MEMORY)
        candidates.memory.keep(MEMORY, chosen)
        token = candidates.written[candidates.is_queried]
        sure = candidates.spread(probability(candidates.logits, token))
        is_doubtful = candidates.is_queried & ~candidates.is_open & (sure < self.threshold)
        chose = torch.zeros_like(candidates.width) if before is None else before[0].sum(1)
        number = torch.where(chosen.sum(1) > 1, (chose - 1).clamp(min=0), 0)
        return Change(write=chosen, hide=top(-sure, is_doubtful, number))
