"""What every objective shares: its registry, the default loss, and how hidden tokens become a question."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.canvas import Batch
from unmask.config import part
from unmask.registry import Registry
from unmask.seeds import Draws
from unmask.types import Denoiser, Noised, Objective, Scored, Want

OBJECTIVES = Registry[Objective]("objective")


@part
class WeightedLikelihood:
    """The loss of nearly every method: the weighted sum of negative log-likelihoods. Subclasses bring ``noise``."""

    name: ClassVar[str]
    want: ClassVar[tuple[Want, ...]] = ()

    @property
    def block_size(self) -> int | None:
        """No grid of its own: the canvas is cut by the decoder's."""
        return None

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Turn clean text into a question."""
        del batch, model, draws, progress
        raise TypeError(f"{type(self).__name__} brings no noise()")

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Sum weight * nll: 0 with a usable graph where nothing is asked."""
        return (noised.weight * scored.nll).sum()


def noise_level(draws: Draws, order: Int[Tensor, " E"], *, eps: float, stratified: bool) -> Float[Tensor, " E"]:
    """Draw t ~ U(eps, 1) for each example: t = eps + (1 - eps) u, as in LLaDA's guideline."""
    uniform = draws.stratified("t", order) if stratified else draws.uniform("t", order)
    return eps + (1 - eps) * uniform


def bernoulli(draws: Draws, name: str, batch: Batch, rate: Float[Tensor, "B L"] | float) -> Bool[Tensor, "B L"]:
    """Draw a coin for every canvas column, keyed by the example and the column's offset; False elsewhere."""
    return batch.is_canvas & (draws.uniform(name, batch.spread(batch.order), batch.offset) < rate)


def indices(is_asked: Bool[Tensor, "B L"]) -> Int[Tensor, "K 2"]:
    """List the asked positions in row-major order."""
    return is_asked.nonzero()


def hide(batch: Batch, is_hidden: Bool[Tensor, "B L"], mask_id: int) -> Int[Tensor, "B L"]:
    """Put the mask token where ``is_hidden``."""
    return torch.where(is_hidden, mask_id, batch.ids)
