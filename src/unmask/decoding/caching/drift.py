"""How far the predictions with an approximate cache are from those without it."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, Query
from unmask.core.random import Draws
from unmask.decoding.decoder import ResolvedDecoder
from unmask.decoding.defaults import NoCache
from unmask.decoding.interfaces import CachePolicy, Reader
from unmask.decoding.loop import decode
from unmask.decoding.state import State


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How much a cache changes.

    Args:
        logits: largest difference of a logit over all queried positions, on the states that the cached run met.
        tokens: share of those positions whose most likely token differs.
        text: share of the canvas that differs between the text of the cached run and that of a run without a cache.
    """

    logits: float
    tokens: float
    text: float


@torch.no_grad()
def measure_drift(
    model: Denoiser, batch: Batch, decoder: ResolvedDecoder, *, draws: Draws, is_open: Bool[Tensor, "B L"] | None = None
) -> Drift:
    """Return how a batch differs, decoded with the decoder's cache and without; costs three times the forwards.

    Args:
        model: predicts tokens.
        batch: prompts laid out with a canvas each.
        decoder: the decoder, resolved, with the cache in question.
        draws: random numbers of both runs.
        is_open: canvas columns to write; default all.

    Returns:
        Differences of logits, tokens and text.
    """
    differences = _Differences()
    cached, plain = batch.ids, batch.ids
    for step in decode(
        model, batch, replace(decoder, cache=_Both(decoder.cache, differences)), draws=draws, is_open=is_open
    ):
        cached = step.state.ids
    for step in decode(model, batch, replace(decoder, cache=NoCache()), draws=draws, is_open=is_open):
        plain = step.state.ids
    differs = (cached != plain)[batch.is_canvas]
    return Drift(
        logits=differences.logits,
        tokens=differences.differing / max(differences.queried, 1),
        text=float(differs.double().mean()),
    )


@dataclass(kw_only=True)
class _Differences:
    logits: float = 0.0
    differing: int = 0
    queried: int = 0


@dataclass(frozen=True)
class _Both:
    """A cache whose logits are compared with those of a full reading, and used."""

    cache: CachePolicy
    differences: _Differences
    is_exact: bool = field(default=False)

    def open(self, model: Denoiser) -> Reader:
        return _Comparing(model, self.cache.open(model), self.differences)


class _Comparing:
    def __init__(self, model: Denoiser, reader: Reader, differences: _Differences) -> None:
        self.model, self.reader, self.differences = model, reader, differences
        self.forwards = 0

    def logits(
        self, query: Query, query_positions: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        self.forwards += 1
        cached = self.reader.logits(query, query_positions, state=state, rows=rows)
        full = self.model.logits(query, query_positions)
        if len(query_positions):
            self.differences.logits = max(self.differences.logits, float((cached - full).abs().max()))
        self.differences.differing += int((cached.argmax(-1) != full.argmax(-1)).sum())
        self.differences.queried += len(query_positions)
        return cached
