"""Blockwise SFT: supervise one block, keep what comes before clean, hide what comes after."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from unmask.canvas import Batch
from unmask.config import part
from unmask.losses import normalise
from unmask.objectives.base import OBJECTIVES, WeightedLikelihood, bernoulli, hide, indices, noise_level
from unmask.seeds import Draws
from unmask.types import Denoiser, Noised


@OBJECTIVES.register("blockwise")
@part
class Blockwise(WeightedLikelihood):
    """Train the very conditional that block decoding uses (Blockwise SFT, arXiv 2508.19529).

    The response is cut into blocks of S anchored at its first token. Draw an active block a ~ q and t ~ U(eps, 1);
    m_i ~ Bernoulli(t) inside the block; everything before it is clean, everything after it is hidden; only masked
    tokens of the block are asked. With A blocks in a response of n tokens:

    - ``per_masked``: mean over examples of the mean CE over the block's masked tokens (the released code).
    - ``elbo``: CE_i / (q(a) t), unbiased for the sum over blocks of the block ELBOs; divided by ``normaliser``.

    Args:
        block_size: S; decode with the same.
        choose: the active block ``uniform`` (q = 1/A) or in proportion to its ``length`` (q = |a| / n).
        weighting: see above.
        normaliser: denominator of ``elbo``: the mean over examples of their per-token losses, or over all tokens.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring examples.
        prefix_noise: share of earlier response tokens that are hidden too (never asked); the paper's ablation.
        suffix_visibility: share of later canvas tokens that are left visible; the paper's ablation.
        padding: ``canvas``: answer, filler to the block boundary (supervised), hidden tail. ``released``: no filler,
            a last block may be short, and the end-of-text tokens after the answer are visible and untrained, which
            tells the model where the answer ends.

    Differs from the paper: Eq. 5 lacks the mask indicator and would train visible tokens to copy themselves; masked
    tokens only, as in the code. Blocks are drawn with replacement. ``elbo`` carries the factor 1/q(a), which the code
    lacks. The canvas replaces visible padding unless ``released``.
    """

    block_size: Annotated[int, Field(ge=1)] = 32
    choose: Literal["uniform", "length"] = "uniform"
    weighting: Literal["per_masked", "elbo"] = "per_masked"
    normaliser: Literal["per_sequence", "per_token"] = "per_sequence"
    eps: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    stratified: bool = True
    prefix_noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    suffix_visibility: Annotated[float, Field(ge=0, le=1)] = 0.0
    padding: Literal["canvas", "released"] = "canvas"

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Draw the active block of every example and hide part of it and all that follows."""
        del progress
        length = batch.filled_length if self.padding == "canvas" else batch.text_length
        active, inverse_q = self._choose_block(draws, batch.order, length)
        t = noise_level(draws, batch.order, eps=self.eps, stratified=self.stratified)

        is_response = batch.is_canvas & (batch.offset < batch.spread(length))
        block, now = batch.offset // self.block_size, batch.spread(active)
        is_masked = is_response & (block == now) & bernoulli(draws, "mask", batch, batch.spread(t))
        is_dirty_prefix = is_response & (block < now) & bernoulli(draws, "prefix", batch, self.prefix_noise)
        is_suffix = batch.is_canvas & (block > now)
        if self.padding == "released":
            is_suffix = is_suffix & is_response
        is_hidden_suffix = is_suffix & ~bernoulli(draws, "suffix", batch, self.suffix_visibility)

        example = batch.owner[is_masked]
        weight, count = normalise(
            "per_masked_row" if self.weighting == "per_masked" else self.normaliser,
            (inverse_q / t)[example].float(),
            example,
            response_length=length,
            columns=batch.ids.numel(),
        )
        return Noised(
            query=batch.query(hide(batch, is_masked | is_dirty_prefix | is_hidden_suffix, model.mask_id), model.rule),
            at=indices(is_masked),
            targets=batch.ids[is_masked],
            weight=weight,
            count=count,
            example=example,
            noise_level=t[example].float(),
        )

    def _choose_block(
        self, draws: Draws, order: Int[Tensor, " E"], length: Int[Tensor, " E"]
    ) -> tuple[Int[Tensor, " E"], Float[Tensor, " E"]]:
        """Return the active block of each example and 1/q of it."""
        uniform = draws.uniform("block", order)
        blocks = torch.ceil(length / self.block_size).clamp(min=1)
        if self.choose == "uniform":
            return (uniform * blocks).long(), blocks.double()
        active = (uniform * length).long() // self.block_size
        size = (length - active * self.block_size).clamp(max=self.block_size)
        return active, length / size.clamp(min=1)
