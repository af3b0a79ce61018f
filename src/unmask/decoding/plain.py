"""The neutral parts: nothing taken back or forbidden, one row for each prompt; stop at the end of text or never."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import CONSTRAINTS, REVISIONS, SEARCHES, STOPS
from unmask.decoding.revision.headless import Headless
from unmask.decoding.state import Candidates, Change, State
from unmask.seeds import Draws


@REVISIONS.register("none")
@part
class NoRevision(Headless):
    """A written token is final."""

    selection: ClassVar[str | None] = None
    view: ClassVar[str | None] = None

    @property
    def asks_written(self) -> bool:
        """Never."""
        return False

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """What was chosen is written."""
        del state, candidates
        return Change(write=chosen, hide=torch.zeros_like(chosen))


@STOPS.register("eos")
@part
class Eos:
    """A row ends once an end token is written and no open place precedes it."""

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Bool[Tensor, " B"]:
        """Compare the first end token with the first open place, on the canvas only."""
        batch = state.batch
        is_eos = torch.isin(state.ids, torch.tensor(list(eos_ids), dtype=torch.int64, device=state.ids.device))
        is_end = batch.is_canvas & ~state.is_open & is_eos
        beyond = batch.ids.shape[1]
        first_end = torch.where(is_end, batch.offset, beyond).amin(1)
        first_open = torch.where(state.is_open, batch.offset, beyond).amin(1)
        return (first_end < beyond) & (first_end < first_open)


@STOPS.register("never")
@part
class Never:
    """The whole canvas is filled."""

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Bool[Tensor, " B"]:
        """Not before it is full."""
        del eos_ids
        return torch.zeros_like(state.is_done)


@CONSTRAINTS.register("none")
@part
class Free:
    """Any text."""

    def check(self, canvas: int) -> None:
        """Any canvas."""
        del canvas

    def ban(self, state: State, at: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]) -> Float[Tensor, "K V"]:
        """Nothing."""
        del state, at
        return logits

    def admit(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Bool[Tensor, "R W"]:
        """All."""
        del state, candidates
        return chosen


@SEARCHES.register("none")
@part
class NoSearch:
    """Each prompt is decoded once."""

    particles: ClassVar[int] = 1

    def is_met(self, is_full: Bool[Tensor, " B"], is_done: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Nobody waits."""
        del is_done
        return is_full

    def pick(
        self, state: State, is_met: Bool[Tensor, " B"], draws: Draws, *, index: int, eos_ids: Sequence[int]
    ) -> None:
        """All go on as they are."""
        del state, is_met, draws, index, eos_ids

    def best(self, state: State, eos_ids: Sequence[int]) -> Int[Tensor, " B"]:
        """All rows."""
        del eos_ids
        return torch.arange(len(state.is_done), device=state.is_done.device)
