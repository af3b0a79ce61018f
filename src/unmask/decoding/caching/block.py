"""The exact cache of models whose blocks never see later ones."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import CLEAN, PAD, BlockCausal, Columns
from unmask.core.attention_rules import Causal, ContextCausal
from unmask.core.protocols import Denoiser, Query
from unmask.decoding.caching.window import TextCache, Window, first, owners
from unmask.decoding.interfaces import CACHES, Reader
from unmask.decoding.state import State
from unmask.errors import UserError


@CACHES.register("block")
@component
class BlockCache:
    """Exact, for block-causal, context-causal and causal models: a finished block is read once and kept.

    BD3LM, arXiv 2503.09573; SDAR, 2510.06303; LLaDA2.0, 2512.15745. Each forward reads the active block against what is
    kept. The first forward of a block reads the finished one before it, too, side by side, so that keeping costs no
    forward of its own. Nothing that is kept is copied or read again, unless a revision changes its tokens.

    Differs from the papers: keeps by the grid that the attention knows, whatever the blocks of the decoder.
    """

    is_exact: ClassVar[bool] = True

    def open(self, model: Denoiser) -> Reader:
        """Return the reader of a run; a model that attends to later blocks raises a UserError."""
        if not isinstance(model.rule, BlockCausal | ContextCausal | Causal):
            raise UserError(
                "cache 'block': expected a block-causal, context-causal or causal model, found one that sees the whole "
                "canvas, so that nothing stays as it was read; use 'dual' or 'prefix' (approximate), or 'none'"
            )
        return _BlockReader(model)


class _BlockReader:
    def __init__(self, model: Denoiser) -> None:
        self.model = model
        self.forwards = 0
        self.text_cache: TextCache | None = None
        self.after: Float[Tensor, "R V"] | None = None

    def logits(
        self, query: Query, query_positions: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Return logits, read from the first block that is not kept to the end of the active one."""
        self.forwards += 1
        text_cache = self._memory(query, owners(query, state, rows))
        is_context = _is_context(query.columns)
        context_length = is_context.sum(1)
        begin = _block_start(query.columns, first((text_cache.ids != query.ids) | ~is_context))
        end = _block_end(query, state, rows)
        window = Window(begin=begin, end=torch.maximum(end, begin + 1), known=end)
        text_cache.ids = torch.where(is_context, query.ids, -1)
        narrow = text_cache.query(query, window)
        local = torch.stack([query_positions[:, 0], query_positions[:, 1] - begin[query_positions[:, 0]]], dim=1)
        if self.model.shift:
            return self._shifted(narrow, local, begin, context_length)
        return self.model.logits(narrow, local)

    def _memory(self, query: Query, owner: Int[Tensor, " R"]) -> TextCache:
        text_cache = self.text_cache
        before = owner if text_cache is None else text_cache.owner
        if text_cache is None or not text_cache.follow(owner):
            self.text_cache, self.after = TextCache(self.model, query, owner), None
            return self.text_cache
        if self.after is not None and len(before) != len(owner):
            self.after = self.after[(owner[:, None] == before).long().argmax(1)]
        return text_cache

    def _shifted(
        self,
        query: Query,
        query_positions: Int[Tensor, "K 2"],
        begin: Int[Tensor, " R"],
        context_length: Int[Tensor, " R"],
    ) -> Float[Tensor, "K V"]:
        """Return logits; the last kept column predicts a block's first one: once, as that does not change."""
        is_new = (begin < context_length).nonzero().squeeze(1)
        queried = torch.cat([query_positions, torch.stack([is_new, (context_length - begin)[is_new]], dim=1)])
        logits = self.model.logits(query, queried)
        logits, new = logits[: len(query_positions)], logits[len(query_positions) :]
        if self.after is None:
            self.after = new.new_zeros(len(context_length), new.shape[1])
        self.after[is_new] = new
        is_first = (query_positions[:, 1] == 0) & (begin > 0)[query_positions[:, 0]]
        logits[is_first] = self.after[query_positions[is_first, 0]]
        return logits


def _is_context(columns: Columns) -> Tensor:
    """Return the columns of the blocks before the first one that may still change; nothing they see will."""
    is_text = columns.segment != PAD
    open_from = torch.where(is_text & (columns.stream != CLEAN), columns.block, torch.iinfo(torch.int64).max)
    return is_text & (columns.block < open_from.amin(1, keepdim=True))


def _block_start(columns: Columns, column: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
    """Return the column where the block of each ``column`` begins."""
    block = columns.block.gather(1, column[:, None])
    return ((columns.segment != PAD) & (columns.block < block)).sum(1)


def _block_end(query: Query, state: State, rows: Int[Tensor, " R"]) -> Int[Tensor, " R2"]:
    """Return the number of columns up to the end of the block in which the active one ends."""
    shows = query.ids.shape[0] // len(rows)
    columns = query.columns
    last = columns.block.gather(1, (state.prompt_length + state.block_end - 1)[rows].repeat(shows)[:, None])
    return ((columns.segment != PAD) & (columns.block <= last)).sum(1)
