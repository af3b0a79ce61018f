"""How far an approximate cache leads away from the model's own predictions."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, Query
from unmask.core.random import Draws
from unmask.decoding.decoder import Parts
from unmask.decoding.defaults import NoCache
from unmask.decoding.interfaces import CachePolicy, Reader
from unmask.decoding.loop import decode
from unmask.decoding.state import State


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What a cache changes.

    Args:
        logits: largest difference of a logit over all asked places, on the states that the cached run met.
        tokens: share of those places whose most likely token differs.
        text: share of the canvas that differs between the text of the cached run and that of a run without a cache.
    """

    logits: float
    tokens: float
    text: float


@torch.no_grad()
def measure_drift(
    model: Denoiser, batch: Batch, parts: Parts, *, draws: Draws, is_open: Bool[Tensor, "B L"] | None = None
) -> Drift:
    """Decode a batch with the decoder's cache and without, and compare. Costs three times the forwards.

    Args:
        model: predicts tokens.
        batch: prompts laid out with a canvas each.
        parts: the decoder, resolved, with the cache in question.
        draws: random numbers of both runs.
        is_open: as for ``decode``.
    """
    notes = _Notes()
    cached, plain = batch.ids, batch.ids
    for step in decode(model, batch, replace(parts, cache=_Both(parts.cache, notes)), draws=draws, is_open=is_open):
        cached = step.state.ids
    for step in decode(model, batch, replace(parts, cache=NoCache()), draws=draws, is_open=is_open):
        plain = step.state.ids
    differs = (cached != plain)[batch.is_canvas]
    return Drift(logits=notes.logits, tokens=notes.differing / max(notes.asked, 1), text=float(differs.double().mean()))


@dataclass(kw_only=True)
class _Notes:
    logits: float = 0.0
    differing: int = 0
    asked: int = 0


@dataclass(frozen=True)
class _Both:
    """A cache whose answers are compared with those of a full reading, and used."""

    cache: CachePolicy
    notes: _Notes
    is_exact: bool = field(default=False)

    def open(self, model: Denoiser) -> Reader:
        return _Comparing(model, self.cache.open(model), self.notes)


class _Comparing:
    def __init__(self, model: Denoiser, reader: Reader, notes: _Notes) -> None:
        self.model, self.reader, self.notes = model, reader, notes
        self.forwards = 0

    def logits(
        self, query: Query, at: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        self.forwards += 1
        cached = self.reader.logits(query, at, state=state, rows=rows)
        full = self.model.logits(query, at)
        if len(at):
            self.notes.logits = max(self.notes.logits, float((cached - full).abs().max()))
        self.notes.differing += int((cached.argmax(-1) != full.argmax(-1)).sum())
        self.notes.asked += len(at)
        return cached
