"""Vanilla masked-diffusion fine-tuning: hide answer tokens anywhere, restore them."""

from typing import Annotated, Literal

from pydantic import Field

from unmask.canvas import Batch
from unmask.config import part
from unmask.losses import Normaliser, normalise
from unmask.objectives.base import OBJECTIVES, WeightedLikelihood, bernoulli, hide, indices, noise_level
from unmask.seeds import Draws
from unmask.types import Denoiser, Noised


@OBJECTIVES.register("vanilla")
@part
class Vanilla(WeightedLikelihood):
    """Hide each answer token with probability t; weigh its loss by 1/t (LLaDA, arXiv 2502.09992, Eq. 5).

    t ~ U(eps, 1) per example; m_i ~ Bernoulli(t) on the response, never on the prompt;
    loss = sum over masked i of CE_i / t, divided as ``normaliser`` says.

    Args:
        normaliser: the denominator, by the names of ``unmask.losses``.
        eps: smallest noise level; 1/eps bounds the weight.
        stratified: spread t evenly over neighbouring examples (lower variance, same expectation).
        tail: ``supervised``: the filler through the whole canvas is part of the response, as in LLaDA, because
            full-canvas decoding has to write it; ``hidden``: columns after the answer's last block stay masked and
            are never asked.

    Differs from the paper: the canvas is a property of the example, not of the batch it falls into (LLaDA pads to
    the longest neighbour); t is stratified unless told otherwise.
    """

    normaliser: Normaliser = "per_sequence"
    eps: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    stratified: bool = True
    tail: Literal["supervised", "hidden"] = "supervised"

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Hide response tokens at rate t."""
        del progress
        is_response = batch.is_canvas if self.tail == "supervised" else batch.is_filled
        t = noise_level(draws, batch.order, eps=self.eps, stratified=self.stratified)
        is_masked = is_response & bernoulli(draws, "mask", batch, batch.spread(t))
        is_hidden = is_masked | (batch.is_canvas & ~is_response)
        at = indices(is_masked)
        example = batch.owner[is_masked]
        weight, count = normalise(
            self.normaliser,
            (1 / t[example]).float(),
            example,
            response_length=batch.canvas_length if self.tail == "supervised" else batch.filled_length,
            columns=batch.ids.numel(),
        )
        return Noised(
            query=batch.query(hide(batch, is_hidden, model.mask_id), model.rule),
            at=at,
            targets=batch.ids[is_masked],
            weight=weight,
            count=count,
            example=example,
            noise_level=t[example].float(),
        )
