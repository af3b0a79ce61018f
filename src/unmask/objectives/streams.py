"""Two streams in one row: the clean text, and beside it a noisy copy of every block, all read at once."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.attention import CLEAN, OPEN, PAD, AttentionRule, BlockDiffusion, Columns
from unmask.canvas import Batch, compress
from unmask.objectives.region import Region
from unmask.query import Query
from unmask.seeds import Draws
from unmask.types import Denoiser, Traits

BLOCK_DIFFUSION = BlockDiffusion()


@dataclass(frozen=True, kw_only=True)
class TwoStreams(Region):
    """Every block of the response in one forward: ``[x_0 ; x_t]`` with repeated positions (BD3LM, arXiv 2503.09573).

    The prompt stands in the clean stream only, and so does no block that nobody looks back at.

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
        """Build the two streams; response columns stand in the noisy one."""
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
        """Columns with a noisy copy."""
        return self.is_response | self.is_hidden

    @cached_property
    def is_clean(self) -> Bool[Tensor, "B L"]:
        """Columns with a clean copy."""
        batch = self.batch
        last = torch.zeros_like(batch.order).scatter_reduce(
            0, batch.owner.clamp(min=0).flatten(), torch.where(self.is_noisy, batch.block, 0).flatten(), "amax"
        )
        is_context = self.is_noisy & (self.keep_last | (batch.block < batch.spread(last)))
        return (~batch.is_canvas & ~batch.is_pad) | is_context

    @cached_property
    def clean_column(self) -> Int[Tensor, "B L"]:
        """Where the clean copy of each column stands."""
        return (self.is_clean.long().cumsum(1) - 1).clamp(min=0)

    @cached_property
    def noisy_column(self) -> Int[Tensor, "B L"]:
        """Where the noisy copy of each column stands."""
        clean = max(int(self.is_clean.sum(1).max()), 1)
        return clean + (self.is_noisy.long().cumsum(1) - 1).clamp(min=0)

    def _before(self, stream: int) -> Int[Tensor, "B L"]:
        """Where the column before each column of the text stands, as this stream's copy of it sees it."""
        batch = self.batch
        clean, noisy = self.clean_column.roll(1, 1), self.noisy_column.roll(1, 1)
        if stream == CLEAN:
            return torch.where(batch.position == 0, self.clean_column, clean)
        is_inside = self.is_noisy.roll(1, 1) if self.first_from == "noisy" else batch.block == batch.block.roll(1, 1)
        return torch.where(batch.position == 0, self.noisy_column, torch.where(is_inside, noisy, clean))


def _columns(batch: Batch, column: Int[Tensor, "B W"], is_real: Bool[Tensor, "B W"], stream: int) -> Columns:
    return Columns(
        position=torch.where(is_real, batch.position.gather(1, column), 0),
        segment=torch.where(is_real, batch.owner.gather(1, column), PAD),
        block=torch.where(is_real, batch.block.gather(1, column), PAD),
        stream=torch.full_like(column, stream),
    )


def every_block(
    batch: Batch,
    draws: Draws,
    *,
    length: Int[Tensor, " E"],
    stratified: bool,
    per: str = "block",
    mean: bool = False,
    rule: AttentionRule = BLOCK_DIFFUSION,
    first_from: str = "clean",
    keep_last: bool = False,
) -> TwoStreams:
    """All blocks of every response, each a group.

    Args:
        batch: the text; its grid is the blocks'.
        draws: for the noise levels.
        length: response columns of each example.
        stratified: spread noise levels evenly over neighbouring blocks and examples.
        per: a noise level for each ``block`` or one for each ``example``.
        mean: a group stands for its share of the example, for denominators that average over groups; otherwise the
            groups of an example are summed.
        rule: see ``TwoStreams``.
        first_from: see ``TwoStreams``.
        keep_last: see ``TwoStreams``.
    """
    is_response = batch.is_canvas & (batch.offset < batch.spread(length))
    blocks = torch.ceil(length / batch.block_size).long()
    most = max(int(blocks.max()), 1)
    example = torch.arange(len(length), device=length.device).repeat_interleave(most)
    block = torch.arange(most, device=length.device).repeat(len(length))
    draw = draws.stratified if stratified else draws.uniform
    order = batch.order[example]
    exists = block < blocks[example]
    share = torch.where(exists, 1 / blocks.clamp(min=1)[example].float(), 0.0)
    return TwoStreams(
        batch=batch,
        is_response=is_response,
        is_hidden=torch.zeros_like(is_response),
        settled=~batch.is_canvas,
        group=torch.where(is_response, batch.owner * most + batch.block, -1),
        example=example,
        block=block,
        level=draw("t", order, block) if per == "block" else draw("t", order),
        importance=torch.ones_like(share) if mean else blocks[example].float(),
        share=share,
        length=length[example],
        columns=float(batch.ids.numel()),
        rule=rule,
        first_from=first_from,
        keep_last=keep_last,
    )


def refuse_streams(name: str, traits: Traits) -> str | None:
    """Say why a model cannot read rows in which positions repeat, or None."""
    if traits.takes_positions:
        return None
    return (
        f"{name} reads several copies of a text in one row, at repeated positions, but this model counts them itself; "
        "use a method that reads plain text (blockwise with layout: views), or a model with rotary positions"
    )
