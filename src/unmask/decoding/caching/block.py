"""The exact cache of models whose blocks never see later ones."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.config.components import part
from unmask.core.attention import CLEAN, PAD, BlockCausal, Columns, ContextCausal
from unmask.core.protocols import Denoiser, Query
from unmask.decoding.caching.window import Memory, Window, first, owners
from unmask.decoding.interfaces import CACHES, Reader
from unmask.decoding.state import State
from unmask.errors import UserError


@CACHES.register("block")
@part
class BlockCache:
    """Exact, for block-causal and context-causal models: a finished block is read once and kept.

    BD3LM, arXiv 2503.09573; SDAR, 2510.06303; LLaDA2.0, 2512.15745. Each forward reads the active block against what is
    kept. The first forward of a block reads the finished one before it, too, side by side, so that keeping costs no
    forward of its own. Nothing that is kept is copied or read again, unless a revision changes its tokens.

    Differs from the papers: keeps by the grid that the attention knows, whatever the blocks of the decoder.
    """

    is_exact: ClassVar[bool] = True

    def open(self, model: Denoiser) -> Reader:
        """Start a run.

        Raises:
            UserError: the model looks ahead, or cannot be read piece by piece.
        """
        if not isinstance(model.rule, BlockCausal | ContextCausal):
            raise UserError(
                "cache 'block': expected a block-causal or context-causal model, found one that sees the whole canvas, "
                "so that nothing stays as it was read; use 'dual' or 'prefix' (approximate), or 'none'"
            )
        return _BlockReader(model)


class _BlockReader:
    def __init__(self, model: Denoiser) -> None:
        self.model = model
        self.forwards = 0
        self.memory: Memory | None = None
        self.after: Float[Tensor, "R V"] | None = None

    def logits(
        self, query: Query, at: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Read from the first block that is not kept to the end of the active one."""
        self.forwards += 1
        memory = self._memory(query, owners(query, state, rows))
        is_settled = _settled(query.columns)
        settled = is_settled.sum(1)
        begin = _block_start(query.columns, first((memory.ids != query.ids) | ~is_settled))
        end = _block_end(query, state, rows)
        window = Window(begin=begin, end=torch.maximum(end, begin + 1), known=end)
        memory.ids = torch.where(is_settled, query.ids, -1)
        narrow = memory.query(query, window)
        local = torch.stack([at[:, 0], at[:, 1] - begin[at[:, 0]]], dim=1)
        if self.model.shift:
            return self._shifted(narrow, local, begin, settled)
        return self.model.logits(narrow, local)

    def _memory(self, query: Query, owner: Int[Tensor, " R"]) -> Memory:
        memory = self.memory
        before = owner if memory is None else memory.owner
        if memory is None or not memory.follow(owner):
            self.memory, self.after = Memory(self.model, query, owner), None
            return self.memory
        if self.after is not None and len(before) != len(owner):
            self.after = self.after[(owner[:, None] == before).long().argmax(1)]
        return memory

    def _shifted(
        self, query: Query, at: Int[Tensor, "K 2"], begin: Int[Tensor, " R"], settled: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Predict the first column of a block from the last that is kept: once, as that prediction does not change."""
        is_new = (begin < settled).nonzero().squeeze(1)
        asked = torch.cat([at, torch.stack([is_new, (settled - begin)[is_new]], dim=1)])
        logits = self.model.logits(query, asked)
        logits, new = logits[: len(at)], logits[len(at) :]
        if self.after is None:
            self.after = new.new_zeros(len(settled), new.shape[1])
        self.after[is_new] = new
        is_first = (at[:, 1] == 0) & (begin > 0)[at[:, 0]]
        logits[is_first] = self.after[at[is_first, 0]]
        return logits


def _settled(columns: Columns) -> Tensor:
    """Mark the columns of the blocks before the first one that may still change; nothing they see will."""
    is_text = columns.segment != PAD
    open_from = torch.where(is_text & (columns.stream != CLEAN), columns.block, torch.iinfo(torch.int64).max)
    return is_text & (columns.block < open_from.amin(1, keepdim=True))


def _block_start(columns: Columns, column: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
    """Go back to where the column's block begins."""
    block = columns.block.gather(1, column[:, None])
    return ((columns.segment != PAD) & (columns.block < block)).sum(1)


def _block_end(query: Query, state: State, rows: Int[Tensor, " R"]) -> Int[Tensor, " R2"]:
    """Count the columns up to the end of the block in which the active one ends."""
    shows = query.ids.shape[0] // len(rows)
    columns = query.columns
    last = columns.block.gather(1, (state.prompt_length + state.block_end - 1)[rows].repeat(shows)[:, None])
    return ((columns.segment != PAD) & (columns.block <= last)).sum(1)
