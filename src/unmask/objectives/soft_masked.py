"""Soft masks: hidden positions carry what the model last predicted for them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, cast

import torch
from pydantic import Field

from unmask.config.components import component
from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, HeadSettings, Noised
from unmask.core.query import SoftTokens
from unmask.core.random import Draws
from unmask.heads.soft_mask import SoftMask
from unmask.objectives.around import Around
from unmask.objectives.base import OBJECTIVES


@OBJECTIVES.register("soft_masked")
@component
class SoftMasked(Around):
    """Train the model to read blends of mask and predicted embeddings (soft-masked diffusion, arXiv 2510.17206).

    The inner method hides tokens. With probability ``share`` an example gets a first forward without gradient, and its
    queried positions then hold (1 - lambda) E[mask] + lambda * (top-k predictions) instead of E[mask]; lambda falls
    with the entropy of the prediction through three learned scalars, the head ``soft_mask``. It starts at lambda = 0,
    is saved with the model, and the view ``soft_mask`` decodes with it. Gradient flows through lambda and the
    embeddings.

    Args:
        inner: what hides tokens.
        share: share of the examples that are blended; 0.8 for language, 0.5 in the released code configurations.
        top_k: predictions that are blended.
        head_lr: learning rate of the three scalars.
        first_scale: where the largest share starts. From the paper's 1e-6 it stays below 1e-5 for hundreds of steps
            (docs/log.md); short fine-tunings need more, 0.1 or so.

    Differs from the paper: the first forward is drawn for an example, not for a batch. The mask token is never blended
    as a prediction. Hidden positions that are not queried (a hidden tail, later blocks) stay hard.
    """

    share: Annotated[float, Field(ge=0, le=1)] = 0.8
    top_k: Annotated[int, Field(ge=1)] = 3
    head_lr: Annotated[float, Field(gt=0)] = 1e-2
    first_scale: Annotated[float, Field(gt=0, lt=1)] = 1e-6

    @property
    def heads(self) -> Mapping[str, HeadSettings]:
        """The three scalars as ``soft_mask``, and the inner method's heads, by name."""
        return {**self.inner.heads, "soft_mask": {"top_k": self.top_k, "lr": self.head_lr, "scale": self.first_scale}}

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return the inner method's noised batch with blends at its queried hidden positions."""
        noised = self.inner.noise(batch, model=model, draws=draws, progress=progress)
        if "soft_mask" not in model.heads:
            return noised  # before the head is attached the masks are hard
        head = cast("SoftMask", model.heads["soft_mask"])
        is_blended = draws.uniform("soft", batch.order) < self.share
        row, column = noised.query_positions.unbind(1)
        is_masked = noised.query.ids[row, column] == model.mask_id  # some methods query visible tokens, too
        at = noised.query_positions[is_masked & is_blended[noised.example]]
        with torch.no_grad():
            logits = model.logits(noised.query, at) if len(at) else torch.zeros(0, model.vocab_size)
        ids, weights = head.blend(logits.to(at.device), model.mask_id)
        # Without positions the head still takes part, with a gradient of zero: data-parallel wrappers wait for it.
        return replace(
            noised, query=replace(noised.query, soft=SoftTokens(query_positions=at, ids=ids, weights=weights))
        )
