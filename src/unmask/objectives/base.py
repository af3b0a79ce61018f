"""What training methods are made of, and the program that runs them.

A method is a choice of components (``Composition``): *scope* is which columns may be hidden, *hide* which of them are,
*weight* what each is worth, *schedule* how the noise level t is drawn, *reduce* what the sum is divided by. How the
model reads the text, its *layout*, is the kind of ``Region`` that the scope returns.

Two more questions have one answer today. What stands at a hidden column (*fill*): the mask token, written by
``Region.ask``. Which positions count (*supervise*): the hidden ones, unless a method adds some (``Supervise``).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from unmask.config.components import component
from unmask.config.registry import Registry
from unmask.core.attention import Attention, AttentionRule
from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, HeadSettings, Noised, Objective, Scored, Traits, Want
from unmask.core.query import Query
from unmask.core.random import Draws
from unmask.core.reduction import Normaliser, divides_by_t, normalise
from unmask.errors import UserError
from unmask.objectives.stack import stack

T = TypeVar("T")
OBJECTIVES = Registry[Objective]("objective")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How noise levels are drawn.

    Args:
        eps: smallest noise level; 1/eps bounds the weight.
        stratified: spread t evenly over neighbouring examples (lower variance, same expectation).
        clip: (low, high) of t.
    """

    eps: float = 1e-3
    stratified: bool = True
    clip: tuple[float, float] = (0.0, 1.0)

    def draw(self, draws: Draws, *keys: Int[Tensor, " G"]) -> Float64[Tensor, " G"]:
        """Return u in [0, 1), the number behind the noise level of each group."""
        return (draws.stratified if self.stratified else draws.uniform)("t", *keys)

    def levels(self, u: Float64[Tensor, " G"]) -> Float64[Tensor, " G"]:
        """Return t ~ U(low, high) for u, low at least eps; without a clip, t = eps + (1 - eps) u as in LLaDA."""
        low, high = max(self.clip[0], self.eps), self.clip[1]
        return low + (high - low) * u


@dataclass(frozen=True, kw_only=True)
class Region:
    """The response columns that a method hides and queries, and how the model reads the text around them.

    A group is what shares one noise level: an example, or one block of it. This class reads a text in place; a layout
    of another kind is a subclass with its own ``ask``.

    Args:
        batch: the text.
        schedule: turns ``u`` into noise levels.
        is_response: columns that may be hidden and queried.
        is_hidden: columns that are hidden whatever is drawn, and never queried.
        is_context: columns that count as clean context for rules that tell it from the active block.
        group: of each response column; -1 elsewhere.
        example: of each group.
        block: number of the block that a group is, 0 where it is a whole example: a key of its draws.
        u: number in [0, 1) behind the noise level of each group.
        importance: 1/q of each group that was drawn with probability q, or groups of an example that are summed; counts
            where the denominator does not average over groups.
        share: how much of its example each group stands for.
        length: response tokens of the example behind each group.
        columns: what a fixed-length normaliser divides by.
        rule: who sees whom; None: as the model attends.
    """

    batch: Batch
    schedule: Schedule
    is_response: Bool[Tensor, "B L"]
    is_hidden: Bool[Tensor, "B L"]
    is_context: Bool[Tensor, "B L"]
    group: Int[Tensor, "B L"]
    example: Int[Tensor, " G"]
    block: Int[Tensor, " G"]
    u: Float64[Tensor, " G"]
    importance: Float[Tensor, " G"]
    share: Float[Tensor, " G"]
    length: Int[Tensor, " G"]
    columns: float
    rule: AttentionRule | None = None

    @property
    def t(self) -> Float64[Tensor, " G"]:
        """Noise level of each group, in (0, 1]."""
        return self.schedule.levels(self.u)

    def spread(self, values: Tensor) -> Tensor:
        """Return the value of its group for every column (of group 0 for columns of no group: leave them out)."""
        return values[self.group.clamp(min=0)]

    def only(self, rows: Int[Tensor, " R"]) -> "Region":
        """Return the region of some rows, in the order given; groups keep their numbers."""
        by_column = {name: getattr(self, name)[rows] for name in ("is_response", "is_hidden", "is_context", "group")}
        return replace(self, batch=self.batch.rows(rows), **by_column)

    def ask(self, model: Denoiser, is_masked: Bool[Tensor, "B L"]) -> tuple[Query, Int[Tensor, "B L"]]:
        """Return what the model reads, and the column of it that stands for each response column.

        Args:
            model: names the mask token and the attention rule.
            is_masked: columns that are hidden beside ``is_hidden``.

        Returns:
            The query, and columns of it, [B, L]; only those of ``is_response`` mean anything.
        """
        ids = torch.where(is_masked | self.is_hidden, model.mask_id, self.batch.ids)
        column = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        return self.batch.query(ids, self.rule or model.rule, is_context=self.is_context), column


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """Which tokens of a region are hidden.

    Args:
        is_queried: columns that are hidden and queried.
        level: the rate at which each column was to be hidden, t.
        extra: what the weight's ``loss`` needs to know of each queried token.
        kept: queried tokens of each group that the ``loss`` keeps, where it drops some.
    """

    is_queried: Bool[Tensor, "B L"]
    level: Float64[Tensor, "B L"]
    extra: Float64[Tensor, "K F"] | None = None
    kept: Int[Tensor, " G"] | None = None


class Scope(ABC):
    """Where tokens may be hidden, and how the text is read there.

    Attributes:
        attention: how a model trained in this scope attends in plain text; None: as it did before.
        has_context_per_block: whether the blocks of a row each see another context, so that what is visible in the row
            does not tell what a token can see.
    """

    attention: Attention | None = None
    has_context_per_block: bool = False

    @abstractmethod
    def regions(self, batch: Batch, schedule: Schedule, *, draws: Draws, progress: float) -> Sequence[Region]:
        """Return the regions to train in; several are several views of the examples, read in one forward."""

    def refuses(self, name: str, traits: Traits) -> str | None:
        """Return why the method of this name cannot train such a model, or None."""
        del name, traits
        return None


class Weight:
    """What a hidden token is worth: here 1/t where the denominator wants it, otherwise 1.

    A weight of one's own is a subclass that overrides ``weigh`` (before the forward) or ``loss`` (after it).
    """

    name: ClassVar[str] = "time"

    @property
    def want(self) -> tuple[Want, ...]:
        """Names of what ``loss`` needs beyond the likelihoods."""
        return ()

    def refuses(self, whole: "Composition") -> str | None:
        """Return why these weights mean nothing beside the other components of a method, or None."""
        del whole
        return None

    def weigh(self, region: Region, hidden: Hidden, *, by_t: bool) -> Float[Tensor, " K"]:
        """Return the factor of each queried token's loss.

        Args:
            region: what the tokens are of.
            hidden: which of its tokens are hidden.
            by_t: whether the denominator wants 1/t in the factor.

        Returns:
            Factors, float32, in row-major order of ``hidden.is_queried``.
        """
        del region
        level = hidden.level[hidden.is_queried]
        return (1 / level if by_t else torch.ones_like(level)).float()

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the sum of weight * nll, nats: 0 with a usable graph where nothing is queried."""
        return (noised.weight * scored.nll).sum()


class Hide(ABC):
    """Which tokens of a region are hidden."""

    name: ClassVar[str]

    @property
    def weight(self) -> Weight:
        """Weight of its tokens where a method does not name another."""
        return Weight()

    def refuses(self, whole: "Composition") -> str | None:
        """Return why this choice means nothing beside the other components of a method, or None."""
        del whole
        return None

    @abstractmethod
    def choose(self, region: Region, *, model: Denoiser, draws: Draws) -> Sequence[Hidden]:
        """Return what is hidden; several choices are several views of the region, which share its weight."""


@runtime_checkable
class Supervise(Protocol):
    """Which positions count beside the hidden ones."""

    def extend(self, noised: Noised, region: Region, hidden: Hidden, *, model: Denoiser, draws: Draws) -> Noised:
        """Return the noised batch of the hidden tokens with further positions in it."""
        ...


@dataclass(frozen=True)
class Reduce:
    """What the summed loss is divided by.

    Args:
        normaliser: by the names of ``unmask.core.reduction``.
    """

    normaliser: Normaliser = "per_sequence"

    def divide(
        self, region: Region, factor: Float[Tensor, " K"], group: Int[Tensor, " K"], kept: Int[Tensor, " G"] | None
    ) -> tuple[Float[Tensor, " K"], Float[Tensor, ""]]:
        """Return the weights of a region's queried tokens, and its share of the denominator."""
        return normalise(
            self.normaliser, factor, group,
            response_length=region.length, share=region.share, columns=region.columns, masked=kept,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Composition:
    """A method as its components.

    Args:
        name: of the method, for messages.
        scope: which columns may be hidden.
        hide: which of them are.
        weight: what each is worth.
        schedule: how t is drawn.
        reduce: what the sum is divided by.
        supervise: what is queried beside the hidden tokens; None: nothing.

    Raises:
        UserError: a component that means nothing beside the others.
    """

    name: str
    scope: Scope
    hide: Hide
    weight: Weight
    schedule: Schedule
    reduce: Reduce
    supervise: Supervise | None = None

    def __post_init__(self) -> None:
        if reason := self.hide.refuses(self) or self.weight.refuses(self):
            raise UserError(reason)

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return a noised batch with every view of every region, all in one forward."""
        questions = []
        for region in self.scope.regions(batch, self.schedule, draws=draws, progress=progress):
            views = self.hide.choose(region, model=model, draws=draws)
            if (n := len(views)) > 1:
                region = replace(region, share=region.share / n, columns=region.columns / n)  # noqa: PLW2901
            for hidden in views:
                noised = self._ask(region, hidden, model)
                if self.supervise is not None:
                    noised = self.supervise.extend(noised, region, hidden, model=model, draws=draws)
                questions.append(noised)
        return questions[0] if len(questions) == 1 else stack(questions)

    def _ask(self, region: Region, hidden: Hidden, model: Denoiser) -> Noised:
        """Return the noised batch of the hidden tokens of a region."""
        is_queried, batch = hidden.is_queried, region.batch
        query, column = region.ask(model, is_queried)
        group, by_t = region.group[is_queried], divides_by_t(self.reduce.normaliser)
        factor = self.weight.weigh(region, hidden, by_t=by_t)
        if by_t:
            factor = factor * region.importance[group].float()
        weight, count = self.reduce.divide(region, factor, group, hidden.kept)
        row = is_queried.nonzero()[:, 0]
        return Noised(
            query=query,
            query_positions=torch.stack([row, column[is_queried]], dim=1),
            targets=batch.ids[is_queried],
            weight=weight,
            count=count,
            example=batch.owner[is_queried],
            noise_level=hidden.level[is_queried].float(),
            group=group,
            extra=hidden.extra,
            offset=batch.offset[is_queried],
        )


@component
class WeightedLikelihood:
    """A method whose loss is the weighted sum of negative log-likelihoods. Subclasses bring ``noise``."""

    name: ClassVar[str]

    @property
    def want(self) -> tuple[Want, ...]:
        """Names of what ``loss`` needs beyond the likelihoods: nothing."""
        return ()

    @property
    def block_size(self) -> int | None:
        """Block size that the method trains for: none, the canvas is cut by the decoder's."""
        return None

    @property
    def attention(self) -> Attention | None:
        """How a trained model attends in plain text: as it did before."""
        return None

    @property
    def heads(self) -> Mapping[str, HeadSettings]:
        """Heads that the model must have: none."""
        return {}

    @property
    def denominator(self) -> Normaliser:
        """Name of the normaliser that divides the loss."""
        return "per_sequence"

    def refuses(self, traits: Traits) -> str | None:
        """Return why such a model cannot be trained by this: None, any can."""
        del traits
        return None

    def scheduled(self, progress: float) -> Mapping[str, float]:
        """Return the settings that change over the run: none."""
        del progress
        return {}

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return what the model reads of clean text, which positions it predicts, and what each is worth."""
        del batch, model, draws, progress
        raise TypeError(f"{type(self).__name__} brings no noise()")

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the sum of weight * nll, nats: 0 with a usable graph where nothing is queried."""
        return (noised.weight * scored.nll).sum()


def sized(objective: T, block_size: int) -> T:
    """Return the objective with a block size wherever it, or a method inside it, leaves the size to the model.

    A UserError is raised if the method cannot have blocks of this size.

    Args:
        objective: a method; one that does not cut the answer into blocks is returned as it is.
        block_size: columns of a block.

    Returns:
        A new objective, or the same one if it leaves nothing open.
    """

    def filled(name: str, value: object) -> object:
        if name == "block_size":
            return value or block_size
        if isinstance(value, tuple):
            return tuple(filled("", member) for member in value)
        return sized(value, block_size) if is_dataclass(value) else value

    values = {f.name: getattr(objective, f.name) for f in fields(objective)}  # type: ignore[arg-type]  # a dataclass
    changes = {name: new for name, value in values.items() if (new := filled(name, value)) != value}
    return replace(objective, **changes) if changes else objective  # type: ignore[type-var]
