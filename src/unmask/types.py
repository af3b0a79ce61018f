"""The seams: what an objective asks, what a loaded model answers.

Axis letters everywhere: B rows of text, L columns of text, E examples, S block size, V vocabulary, K asked positions,
R x N what the model reads. R may exceed B (several views of an example), N may exceed L (several streams).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.attention import AttentionRule
from unmask.canvas import Batch
from unmask.query import Query, SoftTokens
from unmask.seeds import Draws

__all__ = ["Denoiser", "Noised", "Objective", "Query", "Scored", "SoftTokens", "Want"]

Want = Literal["entropy", "is_top", "confidence"]


@dataclass(frozen=True, kw_only=True)
class Noised:
    """A question to the model and the worth of each answer.

    Args:
        query: what the model reads.
        at: (row, column) of the asked positions, in row-major order.
        targets: the gold token of each.
        weight: factor of each token's negative log-likelihood in the summed loss.
        count: this batch's share of the denominator. It is summed over the accumulation window and all ranks, and the
            summed loss is divided by it once.
        example: which example of the batch each asked position belongs to.
        noise_level: t of each asked position; 1 is all masked.
    """

    query: Query
    at: Int[Tensor, "K 2"]
    targets: Int[Tensor, " K"]
    weight: Float[Tensor, " K"]
    count: Float[Tensor, ""]
    example: Int[Tensor, " K"]
    noise_level: Float[Tensor, " K"]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The model's answers at the asked positions.

    Args:
        nll: negative log-likelihood of the target, nats.
        entropy: of the predicted distribution, nats; only if wanted.
        is_top: whether the target is the most likely token; only if wanted.
        confidence: probability of the most likely token; only if wanted.
    """

    nll: Float[Tensor, " K"]
    entropy: Float[Tensor, " K"] | None = None
    is_top: Bool[Tensor, " K"] | None = None
    confidence: Float[Tensor, " K"] | None = None


class Denoiser(Protocol):
    """A loaded model. The logit shift of models adapted from autoregressive ones lives behind it, and only there."""

    mask_id: int
    eos_ids: tuple[int, ...]
    vocab_size: int

    @property
    def rule(self) -> AttentionRule:
        """Who may attend to whom in plain text, as the model was trained; training and decoding both read by it."""
        ...

    def logits(self, query: Query, at: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Predict the tokens *at* the asked (row, column) positions."""
        ...

    def score(
        self, query: Query, at: Int[Tensor, "K 2"], targets: Int[Tensor, " K"], want: Sequence[Want] = ()
    ) -> Scored:
        """Score the targets without keeping a ``[K, V]`` tensor for the caller."""
        ...


class Objective(Protocol):
    """A training method: given clean text, what does the model read, and what is each answer worth?

    A frozen dataclass whose fields are its configuration. ``want`` names what ``loss`` needs beyond the likelihoods.
    ``block_size`` is the grid that the canvas is cut by, or None where the method has none.
    """

    name: ClassVar[str]
    want: ClassVar[tuple[Want, ...]]

    @property
    def block_size(self) -> int | None:
        """The decoder's block size that this method trains for, or None."""
        ...

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Turn clean text into a question. ``progress`` in [0, 1] drives schedules over the run."""
        ...

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Sum the weighted losses; the caller divides by the counts."""
        ...
