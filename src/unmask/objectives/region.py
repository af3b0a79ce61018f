"""Where a method may work: a set of response columns, in groups that have a noise level each."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from unmask.canvas import Batch
from unmask.query import Query
from unmask.seeds import Draws
from unmask.types import Denoiser


@dataclass(frozen=True, kw_only=True)
class Region:
    """The response columns that a method hides and asks, and how the model reads the text around them.

    A group is what shares one noise level: an example, or one block of it.

    Args:
        batch: the text.
        is_response: columns that may be hidden and asked.
        is_hidden: columns that are hidden whatever is drawn, and never asked.
        settled: columns that count as clean context for rules that tell it from the active block.
        group: of each response column; -1 elsewhere.
        example: of each group.
        block: number of the block that a group is, 0 where it is a whole example: a key of its draws.
        level: u in [0, 1) behind the noise level of each group.
        importance: 1/q of each group where it was drawn with probability q; 1 otherwise.
        share: how much of its example each group stands for.
        length: response tokens of the example behind each group.
        columns: what a fixed-length normaliser divides by.
    """

    batch: Batch
    is_response: Bool[Tensor, "B L"]
    is_hidden: Bool[Tensor, "B L"]
    settled: Bool[Tensor, "B L"]
    group: Int[Tensor, "B L"]
    example: Int[Tensor, " G"]
    block: Int[Tensor, " G"]
    level: Float64[Tensor, " G"]
    importance: Float[Tensor, " G"]
    share: Float[Tensor, " G"]
    length: Int[Tensor, " G"]
    columns: float

    def spread(self, values: Tensor) -> Tensor:
        """Give every column the value of its group (columns of no group get that of group 0: leave them out)."""
        return values[self.group.clamp(min=0)]

    def only(self, rows: Int[Tensor, " R"]) -> "Region":
        """Keep some rows; groups keep their numbers."""
        by_column = {name: getattr(self, name)[rows] for name in ("is_response", "is_hidden", "settled", "group")}
        return replace(self, batch=self.batch.rows(rows), **by_column)

    def ask(self, model: Denoiser, is_masked: Bool[Tensor, "B L"]) -> tuple[Query, Int[Tensor, "B L"]]:
        """Build what the model reads, and the column of it that stands for each response column.

        ``is_masked``: hidden beside ``is_hidden``.
        """
        ids = torch.where(is_masked | self.is_hidden, model.mask_id, self.batch.ids)
        column = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        return self.batch.query(ids, model.rule, settled=self.settled), column


def whole(batch: Batch, draws: Draws, *, tail: str, stratified: bool) -> Region:
    """The whole response at once: each example is one group.

    Args:
        batch: the text.
        draws: for the noise levels.
        tail: ``supervised``: the response is the whole canvas; ``hidden``: its tail stays masked and is never asked.
        stratified: spread noise levels evenly over neighbouring examples.
    """
    is_response = batch.is_canvas if tail == "supervised" else batch.is_filled
    one = torch.ones(len(batch.order), device=batch.ids.device)
    return Region(
        batch=batch,
        is_response=is_response,
        is_hidden=batch.is_canvas & ~is_response,
        settled=~batch.is_canvas,
        group=torch.where(is_response, batch.owner, -1),
        example=torch.arange(len(one), device=one.device),
        block=torch.zeros_like(batch.order),
        level=(draws.stratified if stratified else draws.uniform)("t", batch.order),
        importance=one,
        share=one,
        length=batch.canvas_length if tail == "supervised" else batch.filled_length,
        columns=float(batch.ids.numel()),
    )


def half(region: Region) -> Region:
    """The same region as one of two views of it."""
    return replace(region, share=region.share / 2, columns=region.columns / 2)
