"""ReMDM's loop as ported to LLaDA: the least likely token is taken back and filled again, some times over."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import RevisionDefaults
from unmask.decoding.interfaces import REVISIONS
from unmask.decoding.scores import probability, top
from unmask.decoding.shares import at_least
from unmask.decoding.state import Candidates, Change, State

MEMORY = "remdm_rounds"


@REVISIONS.register("remdm_rounds")
@component
class RemdmRounds(RevisionDefaults):
    """Once most of the block is filled, take back what the model finds least likely and fill again, in rounds.

    The port of ReMDM's ``loop`` (arXiv 2503.00307) to LLaDA with which PC-Sampler (2508.13021) and Saber (2510.18165)
    compare themselves. When ``start`` of the block is filled, ``rounds`` rounds of two forwards follow: the first takes
    back the ``number`` written tokens with the lowest probability now, the second writes what the selection chooses.
    Then the block is filled up. The ports' setting is ``blocks: whole`` with the selection ``quota``.

    Args:
        start: share of the block.
        rounds: 0 is ``none``.
        number: tokens that a round takes back.

    Differs from the ports: theirs are for one block; here every block has its rounds.
    """

    start: Annotated[float, Field(gt=0, le=1)] = 0.875
    rounds: Annotated[int, Field(ge=0)] = 32
    number: Annotated[int, Field(ge=1)] = 1

    selection: ClassVar[str | None] = None
    view: ClassVar[str | None] = None

    @property
    def queries_written(self) -> bool:
        """Whether tokens are ever taken back: there are rounds."""
        return self.rounds > 0

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Return the change: even forwards of the rounds take tokens back, odd ones write."""
        del state
        if not self.queries_written:
            return Change(write=chosen, hide=torch.zeros_like(chosen))
        is_written = candidates.is_queried & ~candidates.is_open
        before = candidates.memory.recall(MEMORY)
        done = torch.zeros_like(candidates.width) if before is None else before[0].amax(1)
        wanted = at_least(self.start, candidates.is_queried.sum(1))
        is_in_rounds = (done < 2 * self.rounds) & ((done > 0) | (is_written.sum(1) >= wanted))
        candidates.memory.keep(MEMORY, (done + is_in_rounds)[:, None].expand(chosen.shape))
        takes_back = (is_in_rounds & (done % 2 == 0))[:, None]
        token = candidates.written[candidates.is_queried]
        unlikely = -candidates.spread(probability(candidates.logits, token))
        worst = top(unlikely, is_written, torch.full_like(done, self.number))
        return Change(write=chosen & ~takes_back, hide=worst & takes_back)

    def holds(self, state: State, changed: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return whether each block has open positions or rounds to come."""
        del changed
        if not self.queries_written:
            return torch.zeros_like(state.is_done)
        done = state.memory[MEMORY].values[:, 0]
        is_live = state.memory[MEMORY].start >= 0
        return state.has_open | (is_live & (done < 2 * self.rounds))
