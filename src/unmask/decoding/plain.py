"""The neutral parts: the model as it is, nothing taken back; stop at the end of text or never."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import CACHES, REVISIONS, STOPS, Candidates, State
from unmask.types import Denoiser, Query


@CACHES.register("none")
@part
class NoCache:
    """Every forward reads everything: exact for every model."""

    def logits(self, model: Denoiser, query: Query, at: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Call the model."""
        return model.logits(query, at)


@REVISIONS.register("none")
@part
class NoRevision:
    """A written token is final."""

    def revise(self, state: State, candidates: Candidates) -> Bool[Tensor, "B L"]:
        """Nothing is taken back."""
        del candidates
        return torch.zeros_like(state.is_open)


@STOPS.register("eos")
@part
class Eos:
    """A row ends once an end token is written and no open place precedes it."""

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Bool[Tensor, " B"]:
        """Compare the first end token with the first open place, on the canvas only."""
        batch = state.batch
        is_eos = torch.isin(state.ids, torch.tensor(list(eos_ids), device=state.ids.device))
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
