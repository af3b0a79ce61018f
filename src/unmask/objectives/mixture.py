"""A mixture of methods: each example is trained by one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import BeforeValidator, Field
from torch import Tensor

from unmask.config.components import InvalidConfigError, choose, chooses, component
from unmask.core.attention import PAD, Attention
from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, HeadSettings, Noised, Objective, Scored, Traits, Want
from unmask.core.random import Draws
from unmask.core.reduction import Normaliser, unit
from unmask.errors import UserError
from unmask.objectives.base import OBJECTIVES, WeightedLikelihood
from unmask.objectives.stack import stack


@chooses(OBJECTIVES)
def _resolve(values: object) -> tuple[Objective, ...]:
    """Return the members; each is a method, its name, or a mapping with its name and settings."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InvalidConfigError([f": expected a list of objectives, found {values!r}"])
    return tuple(choose(OBJECTIVES, value, str(i)) for i, value in enumerate(values))


@OBJECTIVES.register("mixture")
@component
class Mixture(WeightedLikelihood):
    """Draw a method for each example, and read the noised batches of all methods in one forward.

    Method j is drawn with probability weights_j / sum of weights, keyed by the example. Half ``lift`` or ``vanilla``
    and half ``blockwise`` is meant to keep both decodings, of the canvas as a whole (LLaDA, arXiv 2502.09992) and in
    blocks (Blockwise SFT, 2508.19529).

    Args:
        members: the methods. Their losses are averaged over examples, so their denominators must count the same thing.
        weights: how often each is drawn; None: all alike.
        stratified: spread the methods evenly over neighbouring examples.

    Differs from the paper: of no paper; mixing block and full-canvas training within a batch is ours.
    """

    members: Annotated[tuple[Objective, ...], BeforeValidator(_resolve)] = Field(
        default=({"name": "vanilla"}, {"name": "blockwise"}), validate_default=True
    )
    weights: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    stratified: bool = True

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise UserError(f"members: expected at least two objectives, found {len(self.members)}")
        if self.weights is not None and len(self.weights) != len(self.members):
            raise UserError(f"weights: expected {len(self.members)}, one for each member, found {len(self.weights)}")
        if any(isinstance(m, Mixture) for m in self.members):
            raise UserError("members: a mixture inside a mixture; list its members here")
        self._check_agreement()

    def _check_agreement(self) -> None:
        counted = [(m.name, unit(m.denominator)) for m in self.members]
        if len({what for _, what in counted}) > 1:
            found = ", ".join(f"{name} by {what}" for name, what in counted)
            raise UserError(
                f"members: their losses are divided by different things ({found}); give one normaliser to all"
            )
        for name in ("block_size", "attention"):
            values = {getattr(m, name) for m in self.members} - {None}
            if len(values) > 1:
                raise UserError(
                    f"members: expected one {name}, found {', '.join(map(str, sorted(values)))}; "
                    "a model is decoded in one way"
                )

    @property
    def denominator(self) -> Normaliser:
        """Name of the first member's normaliser; all members' count the same thing."""
        return self.members[0].denominator

    @property
    def block_size(self) -> int | None:
        """Block size that the members have in common; None: they have none."""
        return next((m.block_size for m in self.members if m.block_size), None)

    @property
    def attention(self) -> Attention | None:
        """How a model trained by the members attends in plain text; None: as it did before."""
        return next((m.attention for m in self.members if m.attention), None)

    @property
    def heads(self) -> Mapping[str, HeadSettings]:
        """Heads that some member needs, by name."""
        return {name: spec for m in self.members for name, spec in m.heads.items()}

    @property
    def want(self) -> tuple[Want, ...]:
        """Names of what some member's loss needs beyond the likelihoods."""
        return tuple(dict.fromkeys(want for m in self.members for want in m.want))

    def refuses(self, traits: Traits) -> str | None:
        """Return the first reason why a member cannot train such a model, or None."""
        reasons = (m.refuses(traits) for m in self.members)
        return next((reason for reason in reasons if reason), None)

    def scheduled(self, progress: float) -> Mapping[str, float]:
        """Return the members' settings that change over the run, as member_setting."""
        return {f"{m.name}_{key}": value for m in self.members for key, value in m.scheduled(progress).items()}

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return the members' noised batches in one, each with its own examples."""
        # The order as second key, whose step is not that of the noise levels: in step with them, each method would only
        # ever see some of them.
        keys = (torch.zeros_like(batch.order), batch.order)
        uniform = (draws.stratified if self.stratified else draws.uniform)("mixture", *keys)
        weights = torch.tensor(self.weights or [1.0] * len(self.members), dtype=uniform.dtype, device=uniform.device)
        edges = (weights / weights.sum()).cumsum(0)[:-1]
        drawn = torch.bucketize(uniform, edges, right=True)
        questions = []
        for number, member in enumerate(self.members):
            mine = (drawn == number).nonzero().squeeze(1)
            if len(mine):
                noised = member.noise(batch.only(mine), model=model, draws=draws, progress=progress)
                questions.append(self._claim(noised, number, mine))
        return stack(questions)

    def _claim(self, noised: Noised, number: int, mine: Int[Tensor, " E2"]) -> Noised:
        """Return a member's noised batch with the whole batch's numbers of examples, marked as the member's."""
        kind = torch.zeros_like(noised.example) if noised.member is None else noised.member
        columns = noised.query.columns
        segment = torch.where(columns.segment == PAD, PAD, mine[columns.segment.clamp(min=0)])
        query = replace(noised.query, columns=replace(columns, segment=segment))
        return replace(noised, query=query, example=mine[noised.example], member=kind * len(self.members) + number)

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the sum of the members' losses, each on its own positions."""
        if noised.member is None:
            raise TypeError("the predictions are not of a mixture's noised batch")
        total = super().loss(scored, noised) * 0
        for number, member in enumerate(self.members):
            is_mine = noised.member % len(self.members) == number
            mine = noised.only(is_mine)
            parts = None if mine.member is None else mine.member // len(self.members)
            total = total + member.loss(scored.only(is_mine), replace(mine, member=parts))
        return total
