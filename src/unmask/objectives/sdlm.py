"""SDLM: predict the next few tokens from anchors in a causal text."""

from typing import Annotated

import torch
from jaxtyping import Bool, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import ANCHORED, CLEAN, PAD, Attention, Columns
from unmask.core.attention_rules import Anchored
from unmask.core.batch import Batch, compress
from unmask.core.protocols import Denoiser, Noised, Traits
from unmask.core.query import Query
from unmask.core.random import Draws
from unmask.core.reduction import Normaliser, normalise, rank_within
from unmask.objectives.base import OBJECTIVES, WeightedLikelihood
from unmask.objectives.streams import refuse_streams


@OBJECTIVES.register("sdlm")
@component
class Sdlm(WeightedLikelihood):
    """Next-sequence prediction: D tokens after random anchors, behind a causal prefix (SDLM, arXiv 2509.24007).

    The text stands once, causal. For each anchor q, from the last prompt token to the last token before the end of
    turn, a block [x_q, M, …, M] follows with positions q, q + 1, …; it sees the text strictly before q and itself, in
    both directions, and predicts x_{q+1} … x_{q+D}, up to the end of turn. floor(repeat n / D) anchors are drawn
    without replacement from an answer of n tokens. The loss is the mean CE. A model with shifted logits reads slot j
    for x_{q+1+j}; for others a block has one mask more, and each predicts itself.

    Args:
        block_size: D; 4 or 8 in the paper.
        repeat: how often a response token is supervised on average; the released trainer takes 3.
        causal_blocks: inside a block, too, see only what stands before.
        normaliser: ``per_masked`` for the mean over all queried tokens, as released.

    Differs from the paper: at least one anchor per answer. The released code drops the last target of the very last
    block. Decoding as trained: the view ``anchored``, blocks ``sliding``, selection ``prefix``.
    """

    block_size: Annotated[int, Field(ge=1)] = 4
    repeat: Annotated[float, Field(gt=0)] = 3.0
    causal_blocks: bool = False
    normaliser: Normaliser = "per_masked_row"

    @property
    def denominator(self) -> Normaliser:
        """Name of the normaliser that divides the loss."""
        return self.normaliser

    @property
    def attention(self) -> Attention | None:
        """How a trained model attends: a causal prefix before a block that sees itself."""
        return "context_causal"

    def refuses(self, traits: Traits) -> str | None:
        """Return why a model cannot read anchored blocks, which repeat positions, or None."""
        return refuse_streams(self.name, traits)

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return a noised batch with a block for every drawn anchor; queried are the tokens that follow each anchor."""
        del progress
        is_text = batch.is_text | (~batch.is_canvas & ~batch.is_pad)
        anchor, is_anchor = compress(self._anchors(batch, draws))
        width = self.block_size + (not model.shift)
        query = self._query(batch, is_text, anchor, is_anchor, width=width, mask_id=model.mask_id)

        slot = torch.arange(self.block_size, device=anchor.device)
        target = anchor[:, :, None] + 1 + slot
        inside = target.clamp(max=batch.ids.shape[1] - 1)
        row = torch.arange(len(anchor), device=anchor.device)[:, None, None].expand_as(target)
        owner = batch.owner.gather(1, anchor)[:, :, None]
        is_queried = is_anchor[:, :, None] & (target == inside) & batch.is_text[row, inside]
        is_queried &= batch.owner[row, inside] == owner
        start = query.ids.shape[1] - 1 - anchor.shape[1] * width
        column = start + torch.arange(anchor.shape[1], device=anchor.device)[:, None] * width + 1 + slot

        example = owner.expand_as(target)[is_queried]
        one = torch.ones(len(batch.order), device=anchor.device)
        weight, count = normalise(
            self.normaliser, torch.ones_like(example, dtype=torch.float32), example,
            response_length=batch.text_length, share=one, columns=float(batch.ids.numel()),
        )  # fmt: skip
        return Noised(
            query=query,
            query_positions=torch.stack([row[is_queried], column.expand_as(target)[is_queried]], dim=1),
            targets=batch.ids[row, inside][is_queried],
            weight=weight,
            count=count,
            example=example,
            noise_level=torch.ones_like(weight),
            group=example,
            offset=batch.offset[row, inside][is_queried],
        )

    def _anchors(self, batch: Batch, draws: Draws) -> Bool[Tensor, "B L"]:
        """Return anchors, drawn without replacement among the columns that an answer token follows."""
        follows = batch.is_text.roll(-1, 1) & (batch.owner == batch.owner.roll(-1, 1))
        follows[:, -1] = False
        example = batch.owner[follows]
        candidates = torch.bincount(example, minlength=len(batch.order))
        wanted = (candidates * self.repeat / self.block_size).floor().clamp(min=1)
        chance = draws.uniform("anchor", batch.spread(batch.order), batch.offset + 1)[follows]
        is_anchor = torch.zeros_like(follows)
        is_anchor[follows] = rank_within(chance, example, len(candidates)) < wanted[example]
        return is_anchor

    def _query(
        self,
        batch: Batch,
        is_text: Bool[Tensor, "B L"],
        anchor: Int[Tensor, "B A"],
        is_anchor: Bool[Tensor, "B A"],
        *,
        width: int,
        mask_id: int,
    ) -> Query:
        """Return the text, the blocks, and one column after the last block for what its last slot predicts."""
        text, is_real = compress(is_text)
        slot = torch.arange(width, device=anchor.device)
        first = slot == 0
        position = batch.position.gather(1, anchor)

        def blocks(of_anchor: Tensor, padding: int) -> Tensor:
            spread = torch.where(is_anchor, of_anchor, padding)[:, :, None].expand(*anchor.shape, width)
            return spread.flatten(1)

        def joined(of_text: Tensor, of_blocks: Tensor, padding: int) -> Tensor:
            clean = torch.where(is_real, of_text.gather(1, text), padding)
            return torch.cat([clean, of_blocks, torch.full_like(clean[:, :1], padding)], dim=1)

        block_ids = torch.where(first, batch.ids.gather(1, anchor)[:, :, None], mask_id).flatten(1)
        block_position = blocks(position, 0) + slot.repeat(anchor.shape[1])
        streams = torch.full_like(block_ids, ANCHORED)
        clean = torch.full_like(batch.ids, CLEAN)
        columns = Columns(
            position=joined(batch.position, block_position, 0),
            segment=joined(batch.owner, blocks(batch.owner.gather(1, anchor), PAD), PAD),
            block=joined(batch.block, blocks(position, PAD), PAD),
            stream=joined(clean, streams, CLEAN),
        )
        return Query(ids=joined(batch.ids, block_ids, 0), columns=columns, rule=Anchored(self.causal_blocks))
