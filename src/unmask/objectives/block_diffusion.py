"""Block diffusion: autoregressive over blocks, masked diffusion inside, all blocks in one pass."""

from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, Float64, Int
from pydantic import Field
from torch import Tensor

from unmask.attention import Attention
from unmask.canvas import Batch
from unmask.config import part
from unmask.errors import UserError
from unmask.losses import divides_by_t, normalise
from unmask.objectives.base import OBJECTIVES, bernoulli
from unmask.objectives.masking import Hidden, Masking
from unmask.objectives.region import Region
from unmask.objectives.streams import every_block, refuse_streams
from unmask.seeds import Draws
from unmask.types import Denoiser, Traits


@OBJECTIVES.register("block_diffusion")
@part
class BlockDiffusion(Masking):
    """Read ``[x_0 ; x_t]`` once: each noisy block sees itself and the clean blocks before it (BD3LM, arXiv 2503.09573).

    Each block of the response draws t ~ U(low, high) and hides its tokens with probability t; the loss is the sum over
    blocks of CE_i / t (Eq. 8 with the linear schedule), divided as ``normaliser`` says. Equal to a loop over (clean
    prefix, noisy block). The grid is anchored at the first response token. The trained model is block-causal and
    decodes with an exact block cache. SDAR (arXiv 2510.06303) is ``t_per: example`` with ``normaliser: per_token``.

    Args:
        block_size: S; None: the model's, else 32.
        t_per: a noise level for each ``block``, or one for all blocks of an ``example`` (SDAR, dllm).
        clip: (low, high) of t; narrow intervals lower the variance (BD3LM: .45 to .95 for blocks of 4, .3 to .8 for
            16).
        redraw: draw a block's coins again, up to so many times, until the share that they hide lies within ``clip``.
        normaliser: the denominator; ``fixed_length`` is BD3LM's, ``per_token`` SDAR's.
        eps: smallest noise level where ``clip`` starts at 0.
        stratified: spread t evenly over neighbouring blocks and examples.
        first_from: the state from which a shifted model predicts the first token of a block: the ``clean`` token before
            it, as in decoding with a cache, or the ``noisy`` one.
        tail: blocks after the answer's last one are left out.

    Differs from the paper: the prompt is clean context and stands in one stream only. The likelihood is the full
    softmax, mask token included. The clip is chosen by hand, not searched for during training.
    """

    reads_context: ClassVar[bool] = False

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

    @property
    def attention(self) -> Attention | None:
        """Blocks see themselves and earlier ones."""
        return "block_causal"

    def refuses(self, traits: Traits) -> str | None:
        """Two streams repeat positions."""
        return refuse_streams(self.name, traits)

    def regions(self, batch: Batch, *, draws: Draws, progress: float) -> list[Region]:
        """Every block of every response, in two streams."""
        del progress
        return [
            every_block(
                batch, draws, length=batch.filled_length, stratified=self.stratified, per=self.t_per,
                mean=not divides_by_t(self.denominator), first_from=self.first_from,
            )
        ]  # fmt: skip

    def levels(self, region: Region) -> Float64[Tensor, " G"]:
        """Turn u into t ~ U(low, high), at least eps."""
        low, high = max(self.clip[0], self.eps), self.clip[1]
        return low + (high - low) * region.level

    def divide(
        self,
        region: Region,
        factor: Float[Tensor, " K"],
        group: Int[Tensor, " K"],
        *,
        masked: Int[Tensor, " G"] | None = None,
    ) -> tuple[Float[Tensor, " K"], Float[Tensor, ""]]:
        """Average over the masked tokens of an example, not of each block: short blocks often have none."""
        if self.denominator != "per_masked_row":
            return super().divide(region, factor, group, masked=masked)
        batch = region.batch
        share = torch.zeros(len(batch.order), device=factor.device).index_add(0, region.example, region.share)
        return normalise(
            self.denominator, factor, region.example[group],
            response_length=batch.filled_length, share=share, columns=region.columns,
        )  # fmt: skip

    def hide(self, region: Region, *, model: Denoiser, draws: Draws) -> Hidden:
        """Hide each token of a block with its block's probability."""
        hidden = super().hide(region, model=model, draws=draws)
        for attempt in range(self.redraw):
            is_out = self._is_out(region, hidden)
            if not bool(is_out.any()):
                break
            coins = region.is_response & bernoulli(draws, f"mask again {attempt}", region.batch, hidden.level)
            again = torch.where(region.spread(is_out), coins, hidden.is_asked)
            hidden = Hidden(is_asked=again, level=hidden.level)
        return hidden

    def _is_out(self, region: Region, hidden: Hidden) -> Tensor:
        """Find the blocks whose hidden share left the clip; a bound left at its default is not enforced."""
        counts = torch.bincount(region.group[region.is_response], minlength=len(region.level))
        masked = torch.bincount(region.group[hidden.is_asked], minlength=len(region.level))
        share = masked / counts.clamp(min=1)
        low, high = self.clip
        return (counts > 0) & (((low > 0) & (share < low)) | ((high < 1) & (share > high)))
