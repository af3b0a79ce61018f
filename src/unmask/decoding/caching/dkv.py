"""dKV-Cache: the approximate cache of written tokens, which are kept one step after they were written."""

from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.batch import compress
from unmask.core.protocols import Denoiser, Query
from unmask.decoding.caching.window import TextCache, owners, text_length
from unmask.decoding.interfaces import CACHES, Reader
from unmask.decoding.state import State


@CACHES.register("dkv")
@component
class DelayedCache:
    """Approximate: keys and values of a written token are kept once it was read as itself (dKV-Cache, 2505.15781).

    A token's states move most at the step that writes it, so it is read at the step after, too, and left alone from
    then on. Each forward reads all open positions of the canvas, what was written at the step before, and whatever is
    queried; the first forward of a block, and every so many, read everything. This is the paper's *decode* variant.

    Args:
        refresh_every: forwards of a block from one reading of everything to the next; 1 is the cache ``none``.

    Differs from the paper: the prompt is kept from a block's first forward on (the released code reads everything at
    the second, too); rows refresh when their own block begins; tokens that a revision changes are read again; with
    shifted logits the column before each queried one is read with it.
    """

    refresh_every: Annotated[int, Field(ge=1)] = 8

    is_exact: ClassVar[bool] = False

    def open(self, model: Denoiser) -> Reader:
        """Return the reader of a run; every model is accepted."""
        return _DelayedReader(model, self.refresh_every)


class _DelayedReader:
    def __init__(self, model: Denoiser, every: int) -> None:
        self.model, self.every = model, every
        self.text_cache: TextCache | None = None
        self.forwards = 0

    def logits(
        self, query: Query, query_positions: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Return logits, read from what is not kept; rows with less to read repeat their last column."""
        self.forwards += 1
        owner = owners(query, state, rows)
        if self.text_cache is None or not self.text_cache.follow(owner):
            self.text_cache = TextCache(self.model, query, owner)
        is_read = self._is_read(query, query_positions, state, rows)
        self.text_cache.ids = torch.where(is_read, query.ids, self.text_cache.ids)
        column, is_real = compress(is_read)
        last = column.gather(1, is_read.sum(1, keepdim=True) - 1)
        place = torch.where(is_real, column, last)
        narrow = self.text_cache.scattered(query, place)
        if self.model.shift:
            narrow = replace(narrow, before=_index(is_read, (place - 1).clamp(min=0)))
        row = query_positions[:, 0]
        local = is_read.long().cumsum(1)[row, query_positions[:, 1]] - 1
        return self.model.logits(narrow, torch.stack([row, local], dim=1))

    def _is_read(
        self, query: Query, query_positions: Int[Tensor, "K 2"], state: State, rows: Int[Tensor, " R"]
    ) -> Bool[Tensor, "R2 L"]:
        assert self.text_cache is not None  # noqa: S101  # for the type checker
        shows = query.ids.shape[0] // len(rows)
        is_due = state.block_steps[rows].repeat(shows) % self.every == 0
        is_read = state.is_open[rows].repeat(shows, 1) | (self.text_cache.ids != query.ids) | is_due[:, None]
        is_read[query_positions[:, 0], query_positions[:, 1]] = True
        if self.model.shift:
            is_read[query_positions[:, 0], (query_positions[:, 1] - 1).clamp(min=0)] = True
        ramp = torch.arange(query.ids.shape[1], device=query.ids.device)
        return is_read & (ramp < text_length(query.columns)[:, None])


def _index(is_read: Bool[Tensor, "R L"], column: Int[Tensor, "R N"]) -> Int[Tensor, "R N"]:
    """Return the index of each column among those that are read; of one that is not, its left neighbour's, or 0."""
    return (is_read.long().cumsum(1).gather(1, column) - 1).clamp(min=0)
