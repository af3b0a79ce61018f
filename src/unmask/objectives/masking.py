"""The frame of every method that hides response tokens: which region, which tokens of it, and what each is worth.

Methods override one of the three steps, so that they can be put into each other: ``blockwise`` brings regions,
``lift`` and ``gift`` choose tokens, ``cart`` and ``papl`` weigh them, ``complementary`` doubles the views.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Float64, Int
from pydantic import Field
from torch import Tensor

from unmask.canvas import Batch
from unmask.config import part
from unmask.errors import UserError
from unmask.losses import Normaliser, divides_by_t, normalise
from unmask.objectives.base import WeightedLikelihood, bernoulli
from unmask.objectives.region import Region, whole
from unmask.objectives.stack import stack
from unmask.seeds import Draws
from unmask.types import Denoiser, Noised, Traits


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """Which tokens of a region are hidden.

    Args:
        is_asked: hidden, and asked.
        level: the rate at which each column was to be hidden, t.
        notes: what the method's ``loss`` needs to know of each asked token.
        kept: asked tokens of each group that the ``loss`` keeps, where it drops some.
    """

    is_asked: Bool[Tensor, "B L"]
    level: Float64[Tensor, "B L"]
    notes: Float64[Tensor, "K F"] | None = None
    kept: Int[Tensor, " G"] | None = None


@part
class Masking(WeightedLikelihood):
    """Hide each response token with probability t, and weigh its loss by 1/t.

    Args:
        normaliser: the denominator, by the names of ``unmask.losses``.
        eps: smallest noise level; 1/eps bounds the weight.
        stratified: spread t evenly over neighbouring examples (lower variance, same expectation).
        tail: ``supervised``: the filler through the whole canvas is part of the response, as in LLaDA, because
            full-canvas decoding has to write it; ``hidden``: columns after the answer's last block stay masked and
            are never asked.
    """

    reads_context: ClassVar[bool] = False
    """Whether the weights look at what is visible around a token; layouts with a context per block cannot tell."""

    normaliser: Normaliser = "per_sequence"
    eps: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    stratified: bool = True
    tail: Literal["supervised", "hidden"] = "supervised"

    @property
    def least_level(self) -> float:
        """The smallest noise level that a token may be asked at."""
        return self.eps

    @property
    def selects_late(self) -> bool:
        """Whether ``loss`` drops some of what is asked; then what was hidden does not tell what is supervised."""
        return False

    @property
    def denominator(self) -> Normaliser:
        """Name of the normaliser that divides the loss."""
        return self.normaliser

    @property
    def asks_more(self) -> bool:
        """Whether more is asked than what is hidden, so that methods that ask in its place would lose it."""
        return False

    def refuses(self, traits: Traits) -> str | None:
        """Text hidden anywhere has no clean blocks, which is all that a context-causal block sees."""
        if traits.attention != "context_causal":
            return None
        return (
            f"{self.name} hides tokens all over the response, but this model's blocks see clean blocks only "
            "(attention context_causal); train it with blockwise, nbdiff or sdlm"
        )

    def regions(self, batch: Batch, *, draws: Draws, progress: float) -> list[Region]:
        """Say where to work; several regions are several views of the examples, read in one forward."""
        del progress
        return [whole(batch, draws, tail=self.tail, stratified=self.stratified)]

    def hide(self, region: Region, *, model: Denoiser, draws: Draws) -> Hidden:
        """Choose the tokens of a region that are hidden: here each by a coin of probability t."""
        del model
        t = region.spread(self.levels(region))
        return Hidden(is_asked=region.is_response & bernoulli(draws, "mask", region.batch, t), level=t)

    def levels(self, region: Region) -> Float64[Tensor, " G"]:
        """Turn u into t ~ U(eps, 1) for each group: t = eps + (1 - eps) u, as in LLaDA's guideline."""
        return self.eps + (1 - self.eps) * region.level

    def weigh(self, region: Region, hidden: Hidden, *, by_t: bool) -> Float[Tensor, " K"]:
        """Return the factor of each asked token's loss. ``by_t``: the denominator wants 1/t in it."""
        del region
        level = hidden.level[hidden.is_asked]
        return (1 / level if by_t else torch.ones_like(level)).float()

    def ask(self, region: Region, hidden: Hidden, *, model: Denoiser) -> Noised:
        """Put the question about the hidden tokens of a region."""
        is_asked, batch = hidden.is_asked, region.batch
        query, column = region.ask(model, is_asked)
        group = region.group[is_asked]
        factor = self.weigh(region, hidden, by_t=divides_by_t(self.denominator)) * region.importance[group].float()
        weight, count = self.divide(region, factor, group, masked=hidden.kept)
        row = is_asked.nonzero()[:, 0]
        return Noised(
            query=query,
            at=torch.stack([row, column[is_asked]], dim=1),
            targets=batch.ids[is_asked],
            weight=weight,
            count=count,
            example=batch.owner[is_asked],
            noise_level=hidden.level[is_asked].float(),
            group=group,
            notes=hidden.notes,
        )

    def divide(
        self,
        region: Region,
        factor: Float[Tensor, " K"],
        group: Int[Tensor, " K"],
        *,
        masked: Int[Tensor, " G"] | None = None,
    ) -> tuple[Float[Tensor, " K"], Float[Tensor, ""]]:
        """Return the weights and the count of a region's asked tokens."""
        return normalise(
            self.denominator, factor, group,
            response_length=region.length, share=region.share, columns=region.columns, masked=masked,
        )  # fmt: skip

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Take the three steps for every region."""
        questions = []
        for region in self.regions(batch, draws=draws, progress=progress):
            hidden = self.hide(region, model=model, draws=draws)
            questions.append(self.ask(region, hidden, model=model))
        return stack(questions)


def keep_settings_outside(inner: Any, outer: str, *names: str) -> None:
    """Refuse settings of an inner method that the outer one decides.

    Raises:
        UserError: such a setting was given.
    """
    defaults = {f.name: f.default for f in fields(inner)}
    for name in names:
        if name in defaults and getattr(inner, name) != defaults[name]:
            raise UserError(
                f"inner.{name}: {outer} decides this, found {getattr(inner, name)!r} inside {inner.name}; leave it out"
            )
