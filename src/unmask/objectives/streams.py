"""Two streams in one row: the clean text, and beside it a noisy copy of every block, all read at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import CLEAN, OPEN, PAD, Attention, AttentionRule, Columns
from unmask.core.attention_rules import BlockDiffusion
from unmask.core.batch import Batch, compress
from unmask.core.protocols import Denoiser, Traits
from unmask.core.query import Query
from unmask.core.random import Draws
from unmask.core.reduction import normalise
from unmask.errors import UserError
from unmask.objectives.base import Composition, Hidden, Hide, Reduce, Region, Schedule, Scope
from unmask.objectives.masking import Masking, UniformHide, bernoulli

BLOCK_DIFFUSION = BlockDiffusion()


@dataclass(frozen=True, kw_only=True)
class TwoStreams(Region):
    """Every block of the response in one forward: ``[x_0 ; x_t]`` with repeated positions (BD3LM, arXiv 2503.09573).

    The prompt is in the clean stream; what of it stands in the first block of the answer (grid ``text``) is in the
    noisy one, too, unchanged and never queried. A block that no later one sees is in the noisy stream only.

    Args:
        rule: who sees whom; ``BlockDiffusion`` or ``ContextCausal``.
        keep_last: keep the clean copy of the last block, which no noisy block sees.
        first_from: the state from which a shifted model predicts the first token of a block: the ``clean`` token before
            it, as in decoding with a cache, or the ``noisy`` one, as released by Fast-dLLM v2.
    """

    rule: AttentionRule = BLOCK_DIFFUSION
    keep_last: bool = False
    first_from: str = "clean"

    def ask(self, model: Denoiser, is_masked: Bool[Tensor, "B L"]) -> tuple[Query, Int[Tensor, "B L"]]:
        """Return the two streams, clean before noisy, and the column of each response column in the noisy one."""
        noisy = torch.where(is_masked | self.is_hidden, model.mask_id, self.batch.ids)
        ids, columns, before = [], [], []
        for text, stream, is_here in ((self.batch.ids, CLEAN, self.is_clean), (noisy, OPEN, self.is_noisy)):
            column, is_real = compress(is_here)
            ids.append(text.gather(1, column))
            columns.append(_columns(self.batch, column, is_real, stream))
            before.append(self._before(stream).gather(1, column))
        joined = {
            name: torch.cat([getattr(c, name) for c in columns], dim=1)
            for name in ("position", "segment", "block", "stream")
        }
        query = Query(
            ids=torch.cat(ids, dim=1), columns=Columns(**joined), rule=self.rule, before=torch.cat(before, dim=1)
        )
        return query, self.noisy_column

    @cached_property
    def is_noisy(self) -> Bool[Tensor, "B L"]:
        """Whether each column has a noisy copy."""
        return self.is_response | self.is_hidden | self.batch.is_lead

    @cached_property
    def is_clean(self) -> Bool[Tensor, "B L"]:
        """Whether each column has a clean copy."""
        batch = self.batch
        last = torch.zeros_like(batch.order).scatter_reduce(
            0, batch.owner.clamp(min=0).flatten(), torch.where(self.is_noisy, batch.grid_block, 0).flatten(), "amax"
        )
        is_context = self.is_noisy & (self.keep_last | (batch.grid_block < batch.spread(last)))
        return (~batch.is_canvas & ~batch.is_pad) | is_context

    @cached_property
    def clean_column(self) -> Int[Tensor, "B L"]:
        """Column of the query that holds the clean copy of each column."""
        return (self.is_clean.long().cumsum(1) - 1).clamp(min=0)

    @cached_property
    def noisy_column(self) -> Int[Tensor, "B L"]:
        """Column of the query that holds the noisy copy of each column."""
        clean = max(int(self.is_clean.sum(1).max()), 1)
        return clean + (self.is_noisy.long().cumsum(1) - 1).clamp(min=0)

    def _before(self, stream: int) -> Int[Tensor, "B L"]:
        """Return the column of the query from which each column of the text is predicted in this stream."""
        batch = self.batch
        clean, noisy = self.clean_column.roll(1, 1), self.noisy_column.roll(1, 1)
        if stream == CLEAN:
            return torch.where(batch.position == 0, self.clean_column, clean)
        block = batch.grid_block
        is_inside = self.is_noisy.roll(1, 1) if self.first_from == "noisy" else block == block.roll(1, 1)
        return torch.where(batch.position == 0, self.noisy_column, torch.where(is_inside, noisy, clean))


def _columns(batch: Batch, column: Int[Tensor, "B W"], is_real: Bool[Tensor, "B W"], stream: int) -> Columns:
    return Columns(
        position=torch.where(is_real, batch.position.gather(1, column), 0),
        segment=torch.where(is_real, batch.owner.gather(1, column), PAD),
        block=torch.where(is_real, batch.grid_block.gather(1, column), PAD),
        stream=torch.full_like(column, stream),
    )


@dataclass(frozen=True, kw_only=True)
class Streams(Scope):
    """All blocks of every response at once, in two streams; each block is a group.

    Args:
        attention: how a model trained so attends in plain text.
        per: a noise level for each ``block`` or one for each ``example``.
        size_at: progress in [0, 1] -> block size; None: the batch's own.
        rule: who sees whom; ``BlockDiffusion`` or ``ContextCausal``.
        first_from: the state from which a shifted model predicts the first token of a block: the ``clean`` token before
            it, or the ``noisy`` one.
        keep_last: keep the clean copy of the last block, which no noisy block sees.
    """

    attention: Attention | None = "block_causal"
    has_context_per_block: bool = True
    per: Literal["block", "example"] = "block"
    size_at: Callable[[float], int] | None = None
    rule: AttentionRule = BLOCK_DIFFUSION
    first_from: str = "clean"
    keep_last: bool = False

    def refuses(self, name: str, traits: Traits) -> str | None:
        """Return why a model cannot read repeated positions, or None."""
        return refuse_streams(name, traits)

    def regions(self, batch: Batch, schedule: Schedule, *, draws: Draws, progress: float) -> Sequence[Region]:
        """Return one region of all blocks, of the block size that is due."""
        if self.size_at is not None:
            batch = replace(batch, block_size=self.size_at(progress))
        length = batch.filled_length
        is_response = batch.is_filled
        blocks = torch.ceil((length + batch.lead) / batch.block_size).long()
        most = max(int(blocks.max()), 1)
        example = torch.arange(len(length), device=length.device).repeat_interleave(most)
        block = torch.arange(most, device=length.device).repeat(len(length))
        order = batch.order[example]
        share = torch.where(block < blocks[example], 1 / blocks.clamp(min=1)[example].float(), 0.0)
        region = TwoStreams(
            batch=batch,
            schedule=schedule,
            is_response=is_response,
            is_hidden=torch.zeros_like(is_response),
            is_context=~batch.is_canvas,
            group=torch.where(is_response, batch.owner * most + batch.block, -1),
            example=example,
            block=block,
            u=schedule.draw(draws, order, block) if self.per == "block" else schedule.draw(draws, order),
            importance=blocks[example].float(),
            share=share,
            length=length[example],
            columns=float(batch.ids.numel()),
            rule=self.rule,
            first_from=self.first_from,
            keep_last=self.keep_last,
        )
        return [region]


def refuse_streams(name: str, traits: Traits) -> str | None:
    """Return why a model cannot read rows in which positions repeat, or None."""
    if traits.takes_positions:
        return None
    return (
        f"{name} reads several copies of a text in one row, at repeated positions, but this model counts them itself; "
        "use a method that reads plain text (blockwise with layout: views), or a model with rotary positions"
    )


@component
class Redrawn(Hide):
    """Hide each token with its block's t, and draw a block's coins again while the hidden share is outside the clip.

    Args:
        redraw: at most so many times.
    """

    name: ClassVar[str] = "redraw"

    redraw: Annotated[int, Field(ge=1)]

    def choose(self, region: Region, *, model: Denoiser, draws: Draws) -> Sequence[Hidden]:
        """Return the tokens that a coin with probability t hides; in some blocks the coins are drawn several times."""
        (hidden,) = UniformHide().choose(region, model=model, draws=draws)
        for attempt in range(self.redraw):
            is_out = self._is_out(region, hidden)
            if not bool(is_out.any()):
                break
            coins = region.is_response & bernoulli(draws, f"mask again {attempt}", region.batch, hidden.level)
            again = torch.where(region.spread(is_out), coins, hidden.is_queried)
            hidden = Hidden(is_queried=again, level=hidden.level)
        return [hidden]

    def _is_out(self, region: Region, hidden: Hidden) -> Bool[Tensor, " G"]:
        """Return the blocks whose hidden share left the clip; a bound left at its default is not enforced."""
        counts = torch.bincount(region.group[region.is_response], minlength=len(region.u))
        masked = torch.bincount(region.group[hidden.is_queried], minlength=len(region.u))
        share = masked / counts.clamp(min=1)
        low, high = region.schedule.clip
        return (counts > 0) & (((low > 0) & (share < low)) | ((high < 1) & (share > high)))


class ReduceByExample(Reduce):
    """The denominator; ``per_masked_row`` counts masked tokens by example, as short blocks often have none."""

    def divide(
        self, region: Region, factor: Float[Tensor, " K"], group: Int[Tensor, " K"], kept: Int[Tensor, " G"] | None
    ) -> tuple[Float[Tensor, " K"], Float[Tensor, ""]]:
        """Return the weights of a region's queried tokens, and its share of the denominator."""
        if self.normaliser != "per_masked_row":
            return super().divide(region, factor, group, kept)
        batch = region.batch
        nothing = torch.zeros(len(batch.order), device=factor.device)
        return normalise(
            self.normaliser, factor, region.example[group], response_length=batch.filled_length,
            share=nothing.index_add(0, region.example, region.share), columns=region.columns,
            masked=None if kept is None else nothing.long().index_add(0, region.example, kept),
        )  # fmt: skip


@component
class InStreams(Masking):
    """The base of methods that train all blocks of a response at once, in two streams.

    Args:
        block_size: columns of a block, S; None: the model's, else 32.
        t_per: a noise level for each ``block``, or one for all blocks of an ``example``.
        clip: (low, high) of t.
        redraw: draw a block's coins again, up to so many times, until the share that they hide lies within ``clip``.
        first_from: the state from which a shifted model predicts the first token of a block: the ``clean`` token before
            it, or the ``noisy`` one.
        tail: blocks after the answer's last one are left out.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    t_per: Literal["block", "example"] = "block"
    clip: tuple[float, float] = (0.0, 1.0)
    redraw: Annotated[int, Field(ge=0)] = 0
    first_from: Literal["clean", "noisy"] = "clean"
    tail: Literal["hidden"] = "hidden"

    def __post_init__(self) -> None:
        low, high = self.clip
        if not 0 <= low < high <= 1:
            raise UserError(f"clip: expected 0 <= low < high <= 1, found {low} and {high}")
        super().__post_init__()

    def streams(self) -> Streams:
        """Return the scope that these settings describe."""
        return Streams(per=self.t_per, first_from=self.first_from)

    def compose(self) -> Composition:
        """Return all blocks in two streams, each token hidden with its block's t."""
        return self.composed(
            scope=self.streams(),
            hide=Redrawn(redraw=self.redraw) if self.redraw else None,
            schedule=Schedule(eps=self.eps, stratified=self.stratified, clip=self.clip),
            reduce=ReduceByExample(self.normaliser),
        )
