"""WSD: block sizes that warm up to the whole response, stay there, and decay to the decoder's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.config.defaults import resolve_block_size
from unmask.core.attention import BlockCausal
from unmask.core.batch import Batch
from unmask.core.protocols import Noised, Scored, Want
from unmask.core.random import Draws
from unmask.errors import UserError
from unmask.objectives.base import OBJECTIVES, Composition, Region, Schedule, Weight
from unmask.objectives.complementary import ComplementaryHide
from unmask.objectives.masking import WEIGHTS, Response
from unmask.objectives.streams import InStreams, Streams

WHOLE = 0
BLOCK_CAUSAL = BlockCausal()


@dataclass(frozen=True, kw_only=True)
class StreamsOrWhole(Streams):
    """Two streams of blocks of the size that is due; at size 0 the whole response is one block, read in place."""

    def regions(self, batch: Batch, schedule: Schedule, *, draws: Draws, progress: float) -> Sequence[Region]:
        """Return one region: all blocks of the size that is due, or the response as one block."""
        if self.size_at is None or self.size_at(progress) != WHOLE:
            return super().regions(batch, schedule, draws=draws, progress=progress)
        one_block = replace(batch, block_size=int(batch.canvas_length.max()), grid="answer")
        (region,) = Response(tail="hidden").regions(one_block, schedule, draws=draws, progress=progress)
        # The model counts blocks of the last size on the text grid; here the whole response is one.
        return [region if batch.grid == "answer" else replace(region, rule=BLOCK_CAUSAL)]


@WEIGHTS.register("cap")
@component
class CapWeight(Weight):
    """Add the entropy of what is already right: confidence-aware parallel training (CAP, dParallel, arXiv 2509.26488).

    Tokens weigh 1/t, or 1, as the denominator wants; beside their loss stands strength times the mean entropy, nats,
    over those queried tokens of an example whose most likely token is right.

    Args:
        strength: of the entropy term; dParallel's script recommends 2.0 for its own.
    """

    strength: Annotated[float, Field(gt=0)] = 2.0

    @property
    def want(self) -> tuple[Want, ...]:
        """Names of the entropies, and of whether the most likely token is right."""
        return ("entropy", "is_top")

    def refuses(self, whole: Composition) -> str | None:
        """Return why not all that is queried was hidden, or None."""
        if whole.supervise is None:
            return None
        return f"weight: cap sharpens hidden tokens, and {whole.name} queries more than what it hides; leave it out"

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the sum of the losses and of the entropies where the most likely token is right, nats."""
        loss = super().loss(scored, noised)
        if scored.entropy is None or scored.is_top is None:
            raise TypeError("CAP needs the entropies that it wanted")
        right = scored.is_top.to(scored.entropy)
        counted = torch.zeros(int(noised.example.max()) + 1 if len(right) else 1).to(right)
        counted = counted.index_add(0, noised.example, right).clamp(min=1)
        return loss + self.strength * (right * scored.entropy / counted[noised.example]).sum()


@OBJECTIVES.register("wsd")
@component
class Wsd(InStreams):
    """Warm up, stay, decay (LLaDA2.0, arXiv 2512.15745): from an autoregressive model to blocks, by way of no blocks.

    The run has three phases: blocks of growing size (``warmup_blocks``), the whole response as one block in a single
    stream, and blocks of shrinking size down to S. Inside a phase its sizes get equal shares. Two streams as in
    ``block_diffusion`` otherwise. Optionally CAP, confidence-aware parallel training: + cap times the mean entropy of
    those masked tokens whose most likely token is right, which sharpens what parallel decoding accepts.

    Args:
        block_size: S, the last size; decode with it. None: the model's, else 32.
        warmup_blocks: sizes of the warm-up, growing.
        decay_blocks: sizes of the decay before S, shrinking.
        warmup: share of the run that the warm-up takes.
        decay: share of the run that the decay takes, S included.
        cap: weight of the entropy term; dParallel's script recommends 2.0 for its own.
        complementary: supervise every response token, in two complementary views (the paper: in post-training only).
        t_per: a noise level for each ``block``, or one for all blocks of an ``example``.
        clip: (low, high) of t; the released trainer uses .3 to .8.
        redraw: draw a block's coins again, up to so many times, until the share that they hide lies within ``clip``.
        normaliser: the denominator; ``per_sequence`` with 1/t as in the paper, ``per_masked_row`` for the plain means
            of the released trainer.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring blocks and examples.
        first_from: the state from which a shifted model predicts the first token of a block: the ``clean`` token before
            it, or the ``noisy`` one.
        tail: blocks after the answer's last one are left out.
        hide: which tokens of a block are hidden, a name of ``HIDES``; None: each with probability t.
        weight: what each is worth, a name of ``WEIGHTS`` but ``cart``, instead of ``cap``.

    Differs from the paper: sizes are given in tokens of the response, whose grid starts at its first token unless the
    recipe or the model says otherwise; during the stable phase the prompt does not see the response, as in the others.
    The entropy term is a mean per example.
    """

    warmup_blocks: tuple[int, ...] = (1, 4)
    decay_blocks: tuple[int, ...] = ()
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.2
    decay: Annotated[float, Field(ge=0, le=1)] = 0.3
    cap: Annotated[float, Field(ge=0)] = 0.0
    complementary: bool = False
    normaliser: Literal["per_sequence", "per_masked_row"] = "per_sequence"

    def __post_init__(self) -> None:
        if self.warmup + self.decay > 1:
            raise UserError(
                f"warmup and decay: expected shares of at most 1 together, found {self.warmup + self.decay}"
            )
        growing, last = list(self.warmup_blocks), [] if self.block_size is None else [self.block_size]
        if min([1, *growing]) < 1 or growing != sorted(set(growing)):
            raise UserError(f"warmup_blocks: expected growing sizes of at least 1, found {growing}")
        shrinking = [*self.decay_blocks, *last]
        if shrinking != sorted(set(shrinking), reverse=True):
            raise UserError(f"decay_blocks: expected sizes that shrink towards block_size, found {shrinking}")
        super().__post_init__()

    def streams(self) -> Streams:
        """Return two streams of the block size that is due."""
        return StreamsOrWhole(per=self.t_per, first_from=self.first_from, size_at=self.block_size_at)

    def compose(self) -> Composition:
        """Return the streams, with CAP and two views if these are set."""
        whole = super().compose()
        if self.cap and self.weight is not None:
            raise UserError(f"cap: is a weight itself, found {self.weight.name} beside it; leave one out")
        if self.cap:
            whole = replace(whole, weight=CapWeight(strength=self.cap))
        return replace(whole, hide=ComplementaryHide(inner=whole.hide)) if self.complementary else whole

    def block_size_at(self, progress: float) -> int:
        """Return the block size that is due at ``progress`` in [0, 1]; 0 is the whole response."""
        if progress < self.warmup and self.warmup_blocks:
            return self.warmup_blocks[int(progress / self.warmup * len(self.warmup_blocks))]
        if progress < 1 - self.decay:
            return WHOLE
        sizes = (*self.decay_blocks, resolve_block_size(objective=self.block_size))
        passed = 1.0 if self.decay == 0 else (progress - (1 - self.decay)) / self.decay
        return sizes[min(int(passed * len(sizes)), len(sizes) - 1)]

    def scheduled(self, progress: float) -> Mapping[str, float]:
        """Return the block size that is due, as ``block_size``; 0 is the whole response."""
        return {"block_size": self.block_size_at(progress)}
