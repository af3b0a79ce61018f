"""The base of every method that hides response tokens, and its default components."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import BeforeValidator, Field
from torch import Tensor

from unmask.config.components import component, resolver
from unmask.config.registry import Registry
from unmask.core.attention import Attention
from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, Noised, Scored, Traits, Want
from unmask.core.random import Draws
from unmask.core.reduction import Normaliser
from unmask.errors import UserError
from unmask.objectives.base import (
    Composition,
    Hidden,
    Hide,
    Reduce,
    Region,
    Schedule,
    Scope,
    Supervise,
    Weight,
    WeightedLikelihood,
)

HIDES = Registry[Hide]("hide")
WEIGHTS = Registry[Weight]("weight")


@dataclass(frozen=True, kw_only=True)
class Response(Scope):
    """The whole response at once, read in place: each example is one group.

    Args:
        tail: ``supervised``: the response is the whole canvas; ``hidden``: its tail stays masked and is never queried.
    """

    tail: Literal["supervised", "hidden"] = "supervised"

    def regions(self, batch: Batch, schedule: Schedule, *, draws: Draws, progress: float) -> Sequence[Region]:
        """Return one region: the response of every example."""
        del progress
        is_response = batch.is_canvas if self.tail == "supervised" else batch.is_filled
        one = torch.ones(len(batch.order), device=batch.ids.device)
        region = Region(
            batch=batch,
            schedule=schedule,
            is_response=is_response,
            is_hidden=batch.is_canvas & ~is_response,
            is_context=~batch.is_canvas,
            group=torch.where(is_response, batch.owner, -1),
            example=torch.arange(len(one), device=one.device),
            block=torch.zeros_like(batch.order),
            u=schedule.draw(draws, batch.order),
            importance=one,
            share=one,
            length=batch.canvas_length if self.tail == "supervised" else batch.filled_length,
            columns=float(batch.ids.numel()),
        )
        return [region]

    def refuses(self, name: str, traits: Traits) -> str | None:
        """Return why a context-causal model cannot be trained so (its blocks see clean blocks only), or None."""
        if traits.attention != "context_causal":
            return None
        return (
            f"{name} hides tokens all over the response, but this model's blocks see clean blocks only "
            "(attention context_causal); train it with blockwise, nbdiff or sdlm"
        )


def bernoulli(draws: Draws, name: str, batch: Batch, rate: Float[Tensor, "B L"] | float) -> Bool[Tensor, "B L"]:
    """Return a coin for every canvas column, keyed by the example and the column's offset; False elsewhere."""
    return batch.is_canvas & (draws.uniform(name, batch.spread(batch.order), batch.offset) < rate)


@HIDES.register("uniform")
@component
class UniformHide(Hide):
    """Hide each token with probability t (LLaDA, arXiv 2502.09992)."""

    def choose(self, region: Region, *, model: Denoiser, draws: Draws) -> Sequence[Hidden]:
        """Return the tokens that a coin with probability t hides."""
        del model
        t = region.spread(region.t)
        return [Hidden(is_queried=region.is_response & bernoulli(draws, "mask", region.batch, t), level=t)]


@WEIGHTS.register("time")
@component
class TimeWeight(Weight):
    """Weigh each hidden token by 1/t (LLaDA, arXiv 2502.09992, Eq. 5), or by 1.

    Args:
        when: divide by t as the ``denominator`` says (``unmask.core.reduction``), ``always`` or ``never``.
    """

    when: Literal["denominator", "always", "never"] = "denominator"

    def weigh(self, region: Region, hidden: Hidden, *, by_t: bool) -> Float[Tensor, " K"]:
        """Return 1/t of each queried token, or 1."""
        by_t = by_t if self.when == "denominator" else self.when == "always"
        return super().weigh(region, hidden, by_t=by_t)


ChosenHide = Annotated[Hide | None, BeforeValidator(resolver(HIDES))]
ChosenWeight = Annotated[Weight | None, BeforeValidator(resolver(WEIGHTS))]


@component
class Masking(WeightedLikelihood):
    """Hide tokens of the response and restore them: here each with probability t, its loss weighed by 1/t.

    A method overrides ``compose``, and hands ``composed`` the components that make it what it is.

    Args:
        normaliser: the denominator, by the names of ``unmask.core.reduction``.
        eps: smallest noise level; 1/eps bounds the weight.
        stratified: spread t evenly over neighbouring examples (lower variance, same expectation).
        tail: ``supervised``: the filler through the whole canvas is response, as in LLaDA, as full-canvas decoding
            writes it; ``hidden``: columns after the answer's last block stay masked and are never queried.
        hide: which tokens are hidden, where the method leaves it open: a name of ``HIDES`` or ``{name: …, fields}``.
        weight: what a hidden token is worth, likewise from ``WEIGHTS``.
    """

    normaliser: Normaliser = "per_sequence"
    eps: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    stratified: bool = True
    tail: Literal["supervised", "hidden"] = "supervised"
    hide: ChosenHide = None
    weight: ChosenWeight = None

    def __post_init__(self) -> None:
        _ = self.composition  # refuses what does not go together

    @cached_property
    def composition(self) -> Composition:
        """The method as its components."""
        return self.compose()

    def compose(self) -> Composition:
        """Return the components of this method."""
        return self.composed()

    def composed(
        self,
        *,
        scope: Scope | None = None,
        hide: Hide | None = None,
        weight: Weight | None = None,
        schedule: Schedule | None = None,
        reduce: Reduce | None = None,
        supervise: Supervise | None = None,
    ) -> Composition:
        """Return a composition of the components of the method, else of the recipe, else the defaults.

        Args:
            scope: which columns may be hidden; default: the response.
            hide: which of them are; default: each with probability t.
            weight: what each is worth; default: the weight of ``hide``.
            schedule: how t is drawn; default: by ``eps`` and ``stratified``.
            reduce: what the sum is divided by; default: by ``normaliser``.
            supervise: what is queried beside the hidden tokens; None: nothing.

        Returns:
            The composition. Components that do not fit together raise a UserError, too.

        Raises:
            UserError: method and recipe both bring the same component.
        """
        if hide is not None and self.hide is not None:
            raise UserError(
                f"hide: {self.name} chooses itself what is hidden, found {self.hide.name} beside it; leave one out"
            )
        if weight is not None and self.weight is not None:
            raise UserError(
                f"weight: {self.name} weighs tokens itself, found {self.weight.name} beside it; leave one out"
            )
        hide = hide or self.hide or UniformHide()
        return Composition(
            name=self.name,
            scope=scope or Response(tail=self.tail),
            hide=hide,
            weight=weight or self.weight or hide.weight,
            schedule=schedule or Schedule(eps=self.eps, stratified=self.stratified),
            reduce=reduce or Reduce(self.normaliser),
            supervise=supervise,
        )

    @property
    def want(self) -> tuple[Want, ...]:
        """Names of what the weight's loss needs beyond the likelihoods."""
        return self.composition.weight.want

    @property
    def attention(self) -> Attention | None:
        """How a model trained in this scope attends in plain text; None: as it did before."""
        return self.composition.scope.attention

    @property
    def denominator(self) -> Normaliser:
        """Name of the normaliser that divides the loss."""
        return self.composition.reduce.normaliser

    def refuses(self, traits: Traits) -> str | None:
        """Return why the scope cannot be read by such a model, or None."""
        return self.composition.scope.refuses(self.name, traits)

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return the noised batch: what the model reads, which hidden tokens it predicts, and their weights."""
        return self.composition.noise(batch, model=model, draws=draws, progress=progress)

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the sum of the weighted losses, nats."""
        return self.composition.weight.loss(scored, noised)
