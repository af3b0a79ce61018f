"""Saber: tokens whose probability has grown the least are taken back."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import RevisionDefaults, SelectionDefaults
from unmask.decoding.interfaces import REVISIONS, SELECTIONS
from unmask.decoding.scores import top
from unmask.decoding.shares import at_least
from unmask.decoding.state import Candidates, Change, State


@SELECTIONS.register("saber")
@component
class SaberSelection(SelectionDefaults):
    """Write every position above the row's mean probability of tokens when written (Saber, arXiv 2510.18165).

    The threshold is the mean probability, at the time, of all tokens that decoding wrote into the row and that stand;
    1 where there are none. The ``least`` best positions are written in any case, as far as there are so many.

    Args:
        least: n; 1 writes one token at the first step of a row.

    Differs from the paper: only the active block's open positions, and never more than there are (the released code
    takes the n best of whatever is left); taken-back tokens leave the mean at once, not when they are rewritten.
    """

    least: Annotated[int, Field(ge=1)] = 2

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the positions whose score is above the row's mean, and the ``least`` best."""
        is_open, score = candidates.is_open, candidates.score
        floor = top(score, is_open, torch.full_like(candidates.block_open, self.least))
        return floor | (is_open & (score > candidates.mean_confidence()[:, None]))


MEMORY = "saber"


@REVISIONS.register("saber")
@component
class SaberRevision(RevisionDefaults):
    """Hide tokens again whose best probability has grown least since the step before (Saber, arXiv 2510.18165).

    After a step that chose c positions and leaves some of the block open, r = min(max(least, ceil(share c)), c - 1) of
    the block's written positions, those just chosen among them, are masked: the r with the smallest gain p - p', p the
    probability of what the model proposes there now, p' that of the step before (0 at the first step of a block). So
    each step writes more than it takes back. A row ends between blocks only. With the selection ``saber``, unless
    another is named.

    Args:
        least: half of the selection's ``least`` in the paper.
        share: of the positions that were chosen. With ``least: 0``, 0 takes nothing back, as ``none`` does.

    Differs from the paper: tokens of earlier blocks are final, which the released code may take back; every block
    begins as the first; ties go to the leftmost.
    """

    least: Annotated[int, Field(ge=0)] = 1
    share: Annotated[float, Field(ge=0, le=1)] = 0.125

    selection: ClassVar[str | None] = "saber"
    view: ClassVar[str | None] = None

    @property
    def queries_written(self) -> bool:
        """Whether tokens are ever taken back."""
        return self.least > 0 or self.share > 0

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Return the change without the smallest gains; what was just chosen is left open instead of taken back."""
        del state
        if not self.queries_written:
            return Change(write=chosen, hide=torch.zeros_like(chosen))
        sure = candidates.log_prob.exp()
        before = candidates.memory.recall(MEMORY)
        candidates.memory.keep(MEMORY, sure)
        gain = sure if before is None else sure - before[0]
        count = chosen.sum(1)
        number = at_least(self.share, count).clamp(min=self.least)
        number = torch.minimum(number, (count - 1).clamp(min=0))
        is_full = ~(candidates.is_open & ~chosen).any(1)
        stands = chosen | (candidates.is_queried & ~candidates.is_open)
        back = top(-gain, stands, torch.where(is_full, 0, number))
        return Change(write=chosen & ~back, hide=back & ~candidates.is_open)
