"""Approximate caches of models that see the whole canvas (Fast-dLLM)."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.protocols import Denoiser, Query
from unmask.decoding.caching.window import TextCache, Window, owners, text_length
from unmask.decoding.interfaces import CACHES, Reader
from unmask.decoding.state import State


@component
class _Refreshed:
    """The base of both caches.

    Args:
        refresh_every: forwards of a block from one reading of everything to the next; None: at its first one only. 1 is
            the cache ``none``.
        look_back: columns before the active block that each forward reads again.
    """

    refresh_every: Annotated[int, Field(ge=1)] | None = None
    look_back: Annotated[int, Field(ge=0)] = 0
    is_exact: ClassVar[bool] = False
    keeps_suffix: ClassVar[bool]

    def open(self, model: Denoiser) -> Reader:
        """Return the reader of a run; every model is accepted."""
        return _RefreshedReader(model, self)


@CACHES.register("prefix")
@component
class PrefixCache(_Refreshed):
    """Approximate: keys and values before the active block are as old as the block (Fast-dLLM, arXiv 2505.22618).

    The first forward of a block reads everything; the others read the block and what comes after it.

    Args:
        refresh_every: forwards of a block from one reading of everything to the next; None: at its first one only. 1 is
            the cache ``none``.
        look_back: columns before the active block that each forward reads again; for the block rule ``sliding`` (DSB,
            arXiv 2602.05992: 24).

    Differs from the paper: rows refresh when their own block begins; with shifted logits the column before the block is
    read with it; text that a revision changes outside of what is read makes the row refresh.
    """

    keeps_suffix: ClassVar[bool] = False


@CACHES.register("dual")
@component
class DualCache(_Refreshed):
    """Approximate: keys and values outside the active block are as old as the block (Fast-dLLM, arXiv 2505.22618).

    The first forward of a block reads everything; the others read the block alone and overwrite its columns.

    Args:
        refresh_every: forwards of a block from one reading of everything to the next; None: at its first one only. 1 is
            the cache ``none``.
        look_back: columns before the active block that each forward reads again; for the block rule ``sliding`` (DSB,
            arXiv 2602.05992: 24).

    Differs from the paper: in the same points as ``prefix``.
    """

    keeps_suffix: ClassVar[bool] = True


class _RefreshedReader:
    def __init__(self, model: Denoiser, policy: _Refreshed) -> None:
        self.model, self.every, self.keeps_suffix = model, policy.refresh_every, policy.keeps_suffix
        # A shifted model predicts the first column of the block from the one before it.
        self.look_back = max(policy.look_back, int(model.shift))
        self.text_cache: TextCache | None = None
        self.forwards = 0

    def logits(
        self, query: Query, query_positions: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Return logits: rows that are due read everything, the others the window; two forwards if there are both."""
        owner = owners(query, state, rows)
        if self.text_cache is None or not self.text_cache.follow(owner):
            self.text_cache = TextCache(self.model, query, owner)
        window = self._window(query, state, rows)
        is_due = self._is_due(query, state, rows, window)
        whole = Window(begin=torch.zeros_like(window.begin), end=window.known, known=window.known)
        self.text_cache.ids = torch.where(is_due[:, None] | _inside(query, window), query.ids, self.text_cache.ids)
        if bool(is_due.all()) or not bool(is_due.any()):
            return self._read(query, whole if bool(is_due.any()) else window, query_positions)
        is_queried_of_due = is_due[query_positions[:, 0]]
        due = self._read(query, whole, query_positions[is_queried_of_due], is_due.nonzero().squeeze(1))
        rest = self._read(query, window, query_positions[~is_queried_of_due], (~is_due).nonzero().squeeze(1))
        logits = due.new_empty(len(query_positions), due.shape[1])
        logits[is_queried_of_due], logits[~is_queried_of_due] = due, rest
        return logits

    def _read(
        self, query: Query, window: Window, query_positions: Int[Tensor, "K 2"], rows: Int[Tensor, " R"] | None = None
    ) -> Float[Tensor, "K V"]:
        assert self.text_cache is not None  # noqa: S101  # for the type checker
        self.forwards += 1
        row = query_positions[:, 0]
        local = torch.stack([row, query_positions[:, 1] - window.begin[row]], dim=1)
        if rows is not None:
            local[:, 0] = torch.searchsorted(rows, row.contiguous())
            window = window[rows]
        return self.model.logits(self.text_cache.query(query, window, rows), local)

    def _window(self, query: Query, state: State, rows: Int[Tensor, " R"]) -> Window:
        shows = query.ids.shape[0] // len(rows)
        prompt = state.prompt_length[rows]
        known = text_length(query.columns)
        begin = (prompt + state.block_start[rows]).repeat(shows)
        end = (prompt + state.block_end[rows]).repeat(shows) if self.keeps_suffix else known
        return Window(begin=(begin - self.look_back).clamp(min=0), end=end, known=known)

    def _is_due(self, query: Query, state: State, rows: Int[Tensor, " R"], window: Window) -> Bool[Tensor, " R2"]:
        assert self.text_cache is not None  # noqa: S101  # for the type checker
        shows = query.ids.shape[0] // len(rows)
        spent = state.block_steps[rows].repeat(shows)
        is_due = spent == 0 if self.every is None else spent % self.every == 0
        is_stale = (self.text_cache.ids != query.ids) & ~_inside(query, window)
        is_text = torch.arange(query.ids.shape[1], device=query.ids.device) < window.known[:, None]
        return is_due | (is_stale & is_text).any(1)


def _inside(query: Query, window: Window) -> Bool[Tensor, "R L"]:
    column = torch.arange(query.ids.shape[1], device=query.ids.device)
    return (column >= window.begin[:, None]) & (column < window.end[:, None])
