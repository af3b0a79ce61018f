"""The seams between the layers: what an objective returns, and what a loaded model answers.

Axis letters everywhere: B rows of text, L columns of text, E examples, S block size, V vocabulary, K queried positions,
R x N what the model reads. R may exceed B (several views of an example), N may exceed L (several streams).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unmask.core.attention import Attention, AttentionRule
from unmask.core.batch import Batch
from unmask.core.query import Past, Query, SoftTokens, Store
from unmask.core.random import Draws
from unmask.core.reduction import Normaliser

__all__ = [
    "Denoiser",
    "HeadSettings",
    "Noised",
    "Objective",
    "Past",
    "Query",
    "Scored",
    "SoftTokens",
    "Store",
    "Traits",
    "Want",
]

HeadSettings = Mapping[str, int | float]
"""Settings of a head by name, its learning rate ``lr`` among them."""

Want = Literal["entropy", "is_top", "confidence", "correctness"]


@dataclass(frozen=True, kw_only=True)
class Noised:
    """A noised batch: what the model reads, which positions it predicts, their targets and loss weights.

    Args:
        query: what the model reads.
        query_positions: (row, column) of the queried positions, in row-major order.
        targets: the gold token of each.
        weight: factor of each token's negative log-likelihood in the summed loss.
        count: this batch's share of the denominator. It is summed over the accumulation window and all ranks, and the
            summed loss is divided by it once.
        example: which example of the batch each queried position belongs to.
        noise_level: t of each queried position; 1 is all masked.
        group: what shares a noise level and a view: an example, or one block or one view of it.
        member: which method of a composite one each position is of; ``loss`` hands each method its own.
        extra: values that the method's own ``loss`` needs at each queried position.
        offset: column of the canvas that each queried position predicts, counted from the first answer token; -1 where
            it is no hidden token. None: not told, and then the loss is not logged by block.
    """

    query: Query
    query_positions: Int[Tensor, "K 2"]
    targets: Int[Tensor, " K"]
    weight: Float[Tensor, " K"]
    count: Float[Tensor, ""]
    example: Int[Tensor, " K"]
    noise_level: Float[Tensor, " K"]
    group: Int[Tensor, " K"]
    member: Int[Tensor, " K"] | None = None
    extra: Float[Tensor, "K F"] | None = None
    offset: Int[Tensor, " K"] | None = None

    def only(self, index: Bool[Tensor, " K"]) -> "Noised":
        """Return the noised batch with the queried positions where ``index`` is True."""
        by_position = ("query_positions", "targets", "weight", "example", "noise_level", "group")
        kept: dict[str, Any] = {name: getattr(self, name)[index] for name in by_position}
        for name in ("member", "extra", "offset"):
            value = getattr(self, name)
            kept[name] = None if value is None else value[index]
        return replace(self, **kept)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the model predicts at the queried positions.

    Args:
        nll: negative log-likelihood of the target, nats.
        entropy: of the predicted distribution, nats; only if wanted.
        is_top: whether the target is the most likely token; only if wanted.
        confidence: probability of the most likely token; only if wanted.
        correctness: logit that the token now at the position is right, of a model with such a head; only if wanted.
    """

    nll: Float[Tensor, " K"]
    entropy: Float[Tensor, " K"] | None = None
    is_top: Bool[Tensor, " K"] | None = None
    confidence: Float[Tensor, " K"] | None = None
    correctness: Float[Tensor, " K"] | None = None

    def only(self, index: Bool[Tensor, " K"]) -> "Scored":
        """Return the predictions at the queried positions where ``index`` is True."""
        answers = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: answer[index] for name, answer in answers.items() if answer is not None})


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a method may need to know of a model before it is trained.

    Args:
        shift: whether the state at the column before predicts a column.
        attention: how it attends in plain text.
        takes_positions: whether it can be told the position of a column; models that count for themselves cannot read
            packed rows, streams or anchored blocks.
    """

    shift: bool
    attention: Attention
    takes_positions: bool = True


@runtime_checkable
class Heads(Protocol):
    """Modules by name: a ``torch.nn.ModuleDict`` or a dictionary."""

    def __contains__(self, name: str, /) -> bool: ...
    def __getitem__(self, name: str, /) -> nn.Module: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...


@runtime_checkable
class Denoiser(Protocol):
    """A loaded model. The logit shift of models adapted from autoregressive ones lives behind it, and only there."""

    @property
    def mask_id(self) -> int:
        """Id of the token that stands for "hidden"."""
        ...

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Ids of the tokens that end an answer."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of tokens that can be predicted: the width of the logits."""
        ...

    @property
    def heads(self) -> Heads:
        """Small modules that a method has attached, by name; saved with the model."""
        ...

    @property
    def shift(self) -> bool:
        """Whether the state at the column before predicts a column."""
        ...

    @property
    def rule(self) -> AttentionRule:
        """Who may attend to whom in plain text, as the model was trained; training and decoding both read by it."""
        ...

    def logits(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return the logits of the tokens *at* the queried (row, column) positions, in a new, writable tensor."""
        ...

    def store(self, rows: int, columns: int) -> Store:
        """Return an empty store for keys and values of ``[rows, columns]``; UserError: not readable in chunks."""
        ...

    def score(
        self, query: Query, query_positions: Int[Tensor, "K 2"], targets: Int[Tensor, " K"], want: Sequence[Want] = ()
    ) -> Scored:
        """Return what is wanted of the predictions without keeping a ``[K, V]`` tensor.

        Args:
            query: what the model reads.
            query_positions: (row, column) of the predictions.
            targets: gold token of each.
            want: what to return besides the likelihoods.

        Returns:
            Values of each queried position, in the order given.
        """
        ...


@runtime_checkable
class Objective(Protocol):
    """A training method: given clean text, what does the model read, and what is each prediction worth?

    A frozen dataclass whose fields are its configuration.
    """

    name: ClassVar[str]

    @property
    def want(self) -> tuple[Want, ...]:
        """Names of what ``loss`` needs beyond the likelihoods."""
        ...

    @property
    def block_size(self) -> int | None:
        """The decoder's block size that this method trains for, by which the canvas is cut; None: it has none."""
        ...

    @property
    def attention(self) -> Attention | None:
        """How a model trained by this attends in plain text; None: as it did before."""
        ...

    @property
    def heads(self) -> Mapping[str, HeadSettings]:
        """Heads that the model must have (name -> settings); training attaches those that are missing."""
        ...

    @property
    def denominator(self) -> Normaliser:
        """Name of the normaliser that divides the loss; losses that count different things cannot be mixed."""
        ...

    def refuses(self, traits: Traits) -> str | None:
        """Return why a model of these traits cannot be trained by this, or None."""
        ...

    def scheduled(self, progress: float) -> Mapping[str, float]:
        """Return the settings that change over the run, by name, for the metrics; ``progress`` is in [0, 1]."""
        ...

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return clean text as a noised batch; ``progress`` in [0, 1] drives schedules over the run."""
        ...

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the sum of the weighted losses, nats; the caller divides by the counts."""
        ...
