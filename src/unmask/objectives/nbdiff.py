"""NBDiff: from next token to next block, with the autoregressive model kept inside."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.config.defaults import resolve_block_size
from unmask.core.attention_rules import ContextCausal
from unmask.core.protocols import Denoiser, Noised, Traits
from unmask.core.random import Draws
from unmask.errors import UserError
from unmask.objectives.base import OBJECTIVES, Composition, Hidden, Region
from unmask.objectives.streams import InStreams, Streams, TwoStreams

CONTEXT_CAUSAL = ContextCausal()


@dataclass(frozen=True, kw_only=True)
class NextTokens:
    """Predict every response token in the clean stream, too, from the state before it.

    Args:
        weight: of each next token's loss.
        per_token: divide by nothing more; otherwise by the response length, for a mean over examples.
    """

    weight: float
    per_token: bool

    def extend(self, noised: Noised, region: Region, hidden: Hidden, *, model: Denoiser, draws: Draws) -> Noised:
        """Return the noised batch with the next tokens of the clean stream in it, in row-major order."""
        del hidden, model, draws
        if not isinstance(region, TwoStreams):
            raise TypeError(f"next tokens are read off the clean stream, and {type(region).__name__} has none")
        batch = region.batch
        is_next = region.is_response & (batch.position > 0)
        example, column = batch.owner[is_next], region.clean_column[is_next]
        at = torch.cat([noised.query_positions, torch.stack([is_next.nonzero()[:, 0], column], dim=1)])
        weight = torch.full_like(example, 1, dtype=torch.float32) * self.weight
        if not self.per_token:
            length = torch.bincount(example, minlength=len(batch.order)).clamp(min=1)
            weight = weight / length[example]
        in_order = (at[:, 0] * noised.query.ids.shape[1] + at[:, 1]).argsort()

        def join(noisy: Tensor, clean: Tensor) -> Tensor:
            return torch.cat([noisy, clean.to(noisy)])[in_order]

        return replace(
            noised,
            query_positions=at[in_order],
            targets=join(noised.targets, batch.ids[is_next]),
            weight=join(noised.weight, weight),
            example=join(noised.example, example),
            noise_level=join(noised.noise_level, torch.zeros_like(weight)),
            group=join(noised.group, region.group[is_next]),
            offset=None if noised.offset is None else join(noised.offset, torch.full_like(example, -1)),
        )


@OBJECTIVES.register("nbdiff")
@component
class NBDiff(InStreams):
    """Adapt an autoregressive model: causal context, growing blocks, an auxiliary loss (NBDiff, arXiv 2512.06776).

    In two streams noisy blocks see the clean ones before them; the clean stream is causal, so that its states are those
    of the autoregressive model. L = L_MDM + lambda L_AR: the mean CE over masked tokens of the noisy stream, and the
    mean next-token CE over the response in the clean stream, which costs no further forward. The block size grows:
    b(s) = min(S, first * 2^floor((s - start) / growth * doublings)), from ``first_block`` to S.

    Args:
        block_size: S, the last block size; decode with it. None: the model's, else 32.
        first_block: the first block size; S divided by it must be a power of 2.
        grow_from: share of the run after which blocks start to grow.
        grow_until: share of the run at which they have reached S (2500 of 4000 steps in the paper).
        ar_weight: lambda.
        t_per: a noise level for each ``block``, or one for all blocks of an ``example``.
        clip: (low, high) of t.
        redraw: draw a block's coins again, up to so many times, until the share that they hide lies within ``clip``.
        normaliser: the denominator of both losses; ``per_masked_row`` is the mean over examples of both means.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring blocks and examples.
        first_from: the state from which the first token of a block is predicted: the ``clean`` token before it, or the
            ``noisy`` one.
        tail: blocks after the answer's last one are left out.
        hide: which tokens of a block are hidden, a name of ``HIDES``; None: each with probability t.
        weight: of the noisy stream's tokens, a name of ``WEIGHTS`` but ``cart``; ``papl`` needs ``ar_weight: 0``.

    Differs from the paper: growth is given in shares of the run, not in steps, and the means are per example.
    """

    first_block: Annotated[int, Field(ge=1)] = 1
    grow_from: Annotated[float, Field(ge=0, le=1)] = 0.0
    grow_until: Annotated[float, Field(ge=0, le=1)] = 0.625
    ar_weight: Annotated[float, Field(ge=0)] = 0.5
    normaliser: Literal["per_masked_row", "per_sequence", "per_token"] = "per_masked_row"

    def __post_init__(self) -> None:
        if self.block_size is not None:
            check_doubling(self.first_block, self.block_size)
        super().__post_init__()

    def streams(self) -> Streams:
        """Return two streams of growing blocks, the clean one causal."""
        return replace(
            super().streams(), attention="context_causal", rule=CONTEXT_CAUSAL, size_at=self.block_size_at,
            keep_last=self.ar_weight > 0,
        )  # fmt: skip

    def compose(self) -> Composition:
        """Return all blocks in two streams, and the next tokens of the clean one."""
        whole = super().compose()
        if not self.ar_weight:
            return whole
        return replace(whole, supervise=NextTokens(weight=self.ar_weight, per_token=self.normaliser == "per_token"))

    def refuses(self, traits: Traits) -> str | None:
        """Return why the clean stream cannot predict the next token, which only shifted models do, or None."""
        if traits.shift or not self.ar_weight:
            return super().refuses(traits)
        return (
            "nbdiff's auxiliary loss predicts the next token, but this model's logits are not shifted; "
            "write ar_weight: 0, or train a converted autoregressive model"
        )

    def block_size_at(self, progress: float) -> int:
        """Return b(s): doubled at even intervals between ``grow_from`` and ``grow_until``."""
        doublings = (resolve_block_size(objective=self.block_size) // self.first_block).bit_length() - 1
        span = self.grow_until - self.grow_from
        passed = 1.0 if span <= 0 else min(max((progress - self.grow_from) / span, 0.0), 1.0)
        return self.first_block << int(passed * doublings)

    def scheduled(self, progress: float) -> Mapping[str, float]:
        """Return the block size that is due, as ``block_size``."""
        return {"block_size": self.block_size_at(progress)}


def check_doubling(first: int, last: int) -> None:
    """Raise an error unless doubling leads from one block size to the other.

    Args:
        first: the smaller size.
        last: the larger size.

    Raises:
        UserError: ``last`` is not ``first`` times a power of two.
    """
    ratio, rest = divmod(last, first)
    if rest or ratio & (ratio - 1) or not ratio:
        raise UserError(f"block_size: expected first_block={first} times a power of 2, found {last}")
