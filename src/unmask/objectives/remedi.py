"""RemeDi: see mistakes in the visible text, and learn to tell them from what is right."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Float64, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # torch's own convention

from unmask.config.components import component
from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, HeadSettings, Noised, Scored, Want
from unmask.core.random import Draws
from unmask.core.reduction import rank_within
from unmask.objectives.base import OBJECTIVES, Composition, Hidden, Region
from unmask.objectives.masking import Masking

MASKED, RIGHT, WRONG = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class WithMistakes:
    """Put wrong tokens among the visible ones, and query the whole response.

    Args:
        corruption: r; the share of wrong tokens is at most r, at t = 1/2.
    """

    corruption: float

    def extend(self, noised: Noised, region: Region, hidden: Hidden, *, model: Denoiser, draws: Draws) -> Noised:
        """Return the noised batch of every response token; ``member`` tells hidden, right and wrong ones apart."""
        batch, is_wrong = region.batch, self._spoil(region, hidden, draws)
        ids = torch.where(is_wrong, _other_tokens(batch, model, draws), noised.query.ids)
        is_response = region.is_response
        kind = torch.where(hidden.is_queried, MASKED, torch.where(is_wrong, WRONG, RIGHT))[is_response]
        weight = torch.zeros(len(kind), device=ids.device).masked_scatter(kind == MASKED, noised.weight)
        return replace(
            noised,
            query=replace(noised.query, ids=ids),
            query_positions=is_response.nonzero(),
            targets=batch.ids[is_response],
            weight=weight,
            example=batch.owner[is_response],
            noise_level=hidden.level[is_response].float(),
            group=region.group[is_response],
            member=kind,
            offset=batch.offset[is_response],
        )

    def _spoil(self, region: Region, hidden: Hidden, draws: Draws) -> Bool[Tensor, "B L"]:
        """Return visible response tokens that were drawn to be wrong, fewer than are hidden."""
        batch, t = region.batch, region.t
        is_visible = region.is_response & ~hidden.is_queried
        group = region.group[is_visible]
        visible, masked = _count(group, t), _count(region.group[hidden.is_queried], t)
        wanted = torch.ceil(4 * self.corruption * t * (1 - t) * visible)
        wanted = torch.minimum(wanted, (masked - 1).clamp(min=0))
        chance = draws.uniform("wrong", batch.spread(batch.order), batch.offset)[is_visible]
        is_wrong = torch.zeros_like(is_visible)
        is_wrong[is_visible] = rank_within(chance, group, len(t)) < wanted[group]
        return is_wrong


@OBJECTIVES.register("remedi")
@component
class Remedi(Masking):
    """Supervised fine-tuning for reflective remasking (RemeDi, arXiv 2509.23653, section 3.2).

    Tokens are hidden at rate t; of the n_v visible response tokens ceil(4 r t (1 - t) n_v), but fewer than are hidden,
    are replaced by random other tokens. The token loss is the masked diffusion loss. The head ``confidence`` learns
    BCE(sigmoid(h_i), y_i) over the whole response: y = 1 for a right visible token, 0 for a wrong one, and for a
    hidden one the probability that the model gives its gold token (without gradient). L = L_tokens + score_weight
    L_BCE.

    Args:
        corruption: r; the share of wrong tokens is at most r, at t = 1/2.
        score_weight: weight of the confidence loss, 0.3 in the paper.
        taps: blocks of the confidence stream.
        head_lr: learning rate of the stream; the paper trains it ten times faster than the model.
        normaliser: the denominator of both losses: means per example, or over all response tokens.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring examples.
        tail: whether the columns after the answer's last block are ``supervised`` or stay ``hidden``.
        hide: which tokens are hidden, a name of ``HIDES`` but ``complementary``; None: each with probability t.
        weight: of the hidden tokens, a name of ``WEIGHTS`` but ``papl`` and ``cap``.

    Differs from the paper: attention stays the model's own (theirs is block-causal with blocks of 32); the stream's
    blocks start as copies of the layers that they tap.
    """

    corruption: Annotated[float, Field(ge=0, le=1)] = 0.1
    score_weight: Annotated[float, Field(ge=0)] = 0.3
    taps: Annotated[int, Field(ge=1)] = 4
    head_lr: Annotated[float, Field(gt=0)] = 2e-5
    normaliser: Literal["per_sequence", "per_token"] = "per_sequence"

    @property
    def want(self) -> tuple[Want, ...]:
        """The name of the head's logit at every response token."""
        return ("correctness",)

    @property
    def heads(self) -> Mapping[str, HeadSettings]:
        """The confidence stream and its settings, as ``confidence``."""
        return {"confidence": {"taps": self.taps, "lr": self.head_lr}}

    def compose(self) -> Composition:
        """Return the default components, with mistakes among what is visible."""
        return self.composed(supervise=WithMistakes(corruption=self.corruption))

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the loss of the masked tokens plus ``score_weight`` times that of the confidence stream, nats."""
        loss = super().loss(scored, noised)
        if scored.correctness is None or noised.member is None:
            raise TypeError("RemeDi's loss needs a model with the head 'confidence' and its own noised batch")
        gold = (-scored.nll.detach()).exp().clamp(0, 1).to(scored.correctness)
        wanted = torch.where(noised.member == MASKED, gold, (noised.member == RIGHT).to(gold))
        each = F.binary_cross_entropy_with_logits(scored.correctness, wanted, reduction="none")
        if self.normaliser == "per_sequence":
            each = each / torch.bincount(noised.example).clamp(min=1)[noised.example]
        return loss + self.score_weight * each.sum()


def _count(group: Int[Tensor, " K"], like: Float64[Tensor, " G"]) -> Float64[Tensor, " G"]:
    return torch.bincount(group, minlength=len(like)).to(like)


def _other_tokens(batch: Batch, model: Denoiser, draws: Draws) -> Int[Tensor, "B L"]:
    """Return for every column a drawn token that is neither its own nor the mask token."""
    others = model.vocab_size - 2
    drawn = (draws.uniform("other", batch.spread(batch.order), batch.offset) * others).long()
    low = torch.minimum(batch.ids, torch.full_like(batch.ids, model.mask_id))
    high = torch.maximum(batch.ids, torch.full_like(batch.ids, model.mask_id))
    drawn = drawn + (drawn >= low).long()
    return drawn + (drawn >= high).long()
