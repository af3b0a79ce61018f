"""WSD: block sizes that warm up to the whole response, stay there, and decay to the decoder's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from unmask.canvas import Batch
from unmask.config import part
from unmask.errors import UserError
from unmask.losses import divides_by_t
from unmask.objectives.base import OBJECTIVES
from unmask.objectives.block_diffusion import BlockDiffusion
from unmask.objectives.complementary import both_views
from unmask.objectives.region import Region, whole
from unmask.objectives.stack import stack
from unmask.objectives.streams import every_block
from unmask.seeds import Draws
from unmask.types import Denoiser, Noised, Scored, Want

WHOLE = 0


@OBJECTIVES.register("wsd")
@part
class Wsd(BlockDiffusion):
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
        t_per: as in ``block_diffusion``.
        clip: (low, high) of t; the released trainer uses .3 to .8.
        redraw: as in ``block_diffusion``.
        normaliser: the denominator; ``per_sequence`` with 1/t as in the paper, ``per_masked_row`` for the plain means
            of the released trainer.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring blocks and examples.
        first_from: as in ``block_diffusion``.
        tail: blocks after the answer's last one are left out.

    Differs from the paper: sizes are given in tokens of the response, whose grid starts at its first token; during the
    stable phase the prompt does not see the response, as in the others. The entropy term is a mean per example.
    """

    warmup_blocks: tuple[int, ...] = (1, 4)
    decay_blocks: tuple[int, ...] = ()
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.2
    decay: Annotated[float, Field(ge=0, le=1)] = 0.3
    cap: Annotated[float, Field(ge=0)] = 0.0
    complementary: bool = False
    normaliser: Literal["per_sequence", "per_masked_row"] = "per_sequence"

    def __post_init__(self) -> None:
        super().__post_init__()
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

    @property
    def want(self) -> tuple[Want, ...]:
        """CAP looks at entropies and at what is right."""
        return ("entropy", "is_top") if self.cap else ()

    def block_size_at(self, progress: float) -> int:
        """Return the block size of this point of the run; 0 is the whole response."""
        if progress < self.warmup and self.warmup_blocks:
            return self.warmup_blocks[int(progress / self.warmup * len(self.warmup_blocks))]
        if progress < 1 - self.decay:
            return WHOLE
        sizes = (*self.decay_blocks, self.block_size)
        passed = 1.0 if self.decay == 0 else (progress - (1 - self.decay)) / self.decay
        return sizes[min(int(passed * len(sizes)), len(sizes) - 1)]

    def scheduled(self, progress: float) -> Mapping[str, float]:
        """The block size."""
        return {"block_size": self.block_size_at(progress)}

    def regions(self, batch: Batch, *, draws: Draws, progress: float) -> list[Region]:
        """Blocks of the size that is due, or the response as one block."""
        size = self.block_size_at(progress)
        if size == WHOLE:
            one_block = replace(batch, block_size=int(batch.canvas_length.max()))
            return [whole(one_block, draws, tail="hidden", stratified=self.stratified)]
        return [
            every_block(
                replace(batch, block_size=size), draws, length=batch.filled_length, stratified=self.stratified,
                per=self.t_per, mean=not divides_by_t(self.denominator), first_from=self.first_from,
            )
        ]  # fmt: skip

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Ask about one view or both."""
        if not self.complementary:
            return super().noise(batch, model=model, draws=draws, progress=progress)
        regions = self.regions(batch, draws=draws, progress=progress)
        return stack(both_views(self, regions, model=model, draws=draws))

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Add the entropy of what is already right; which that is carries no gradient."""
        loss = super().loss(scored, noised)
        if not self.cap or scored.entropy is None or scored.is_top is None:
            return loss
        right = scored.is_top.to(scored.entropy)
        counted = torch.zeros(int(noised.example.max()) + 1 if len(right) else 1).to(right)
        counted = counted.index_add(0, noised.example, right).clamp(min=1)
        return loss + self.cap * (right * scored.entropy / counted[noised.example]).sum()
