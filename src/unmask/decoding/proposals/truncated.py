"""Sampling from the likeliest tokens only: nucleus and top-k."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.random import Draws
from unmask.decoding.defaults import ProposalDefaults, sample
from unmask.decoding.interfaces import PROPOSALS
from unmask.decoding.scores import in_chunks

Scores = Literal["model", "shaped", "shaped_with_mask"]


class Truncated(ProposalDefaults, ABC):
    """The base of proposals that temper the logits, filter tokens, and draw. Subclasses bring the filter, ``keep``."""

    temperature: float
    scores: Scores

    @property
    def scores_shaped(self) -> bool:
        """Whether scores are read from the tempered and filtered logits: ``scores`` is not ``model``."""
        return self.scores != "model"

    @property
    def scores_mask(self) -> bool:
        """Whether scores count the mask token's probability: ``scores`` is ``shaped_with_mask``."""
        return self.scores == "shaped_with_mask"

    def shape(self, logits: Float[Tensor, "K V"], eos_ids: Sequence[int]) -> Float[Tensor, "K V"]:
        """Return the logits, tempered and filtered if scores are read from them; else unchanged."""
        del eos_ids
        return self._filtered(logits) if self.scores_shaped else logits

    def propose(
        self, logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]]
    ) -> Int[Tensor, " K"]:
        """Return a token drawn from what is left in each row; the most likely one at temperature 0."""
        if self.temperature == 0:
            return logits.argmax(-1)
        return sample(logits if self.scores_shaped else self._filtered(logits), draws, keys)

    def _filtered(self, logits: Float[Tensor, "K V"]) -> Float[Tensor, "K V"]:
        return self.keep(logits / self.temperature if self.temperature else logits)

    @abstractmethod
    def keep(self, logits: Float[Tensor, "K V"]) -> Float[Tensor, "K V"]:
        """Return the logits with -inf for tokens that are not kept."""
        ...


@PROPOSALS.register("nucleus")
@component
class Nucleus(Truncated):
    """A sample from the fewest tokens that hold a probability of ``top_p`` (arXiv 1904.09751), as Dream decodes.

    In Dream's order: temperature, then top-p, then top-k.

    Args:
        temperature: divides the logits; 0 is greedy.
        top_p: 1 keeps all.
        top_k: of those, keep this many at most.
        scores: what scores are read from: the ``model``'s own logits (LLaDA), or the ``shaped`` ones, tempered and
            filtered; ``shaped_with_mask``: filtered while the mask token still has its probability, as Dream's code.
    """

    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    top_k: Annotated[int, Field(ge=1)] | None = None
    scores: Scores = "model"

    def keep(self, logits: Float[Tensor, "K V"]) -> Float[Tensor, "K V"]:
        """Return the logits filtered by ``top_p``, then by ``top_k``."""
        kept = logits if self.top_p == 1 else keep_mass(logits, self.top_p)
        return kept if self.top_k is None else keep_number(kept, self.top_k)


@PROPOSALS.register("top_k")
@component
class TopK(Truncated):
    """A sample from the ``top_k`` likeliest tokens.

    Args:
        temperature: divides the logits; 0 is greedy.
        top_k: 1 is greedy, the vocabulary's size keeps all.
        scores: what scores are read from: the ``model``'s own logits, or the ``shaped`` ones, tempered and filtered;
            ``shaped_with_mask``: filtered while the mask token still has its probability.
    """

    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_k: Annotated[int, Field(ge=1)] = 50
    scores: Scores = "model"

    def keep(self, logits: Float[Tensor, "K V"]) -> Float[Tensor, "K V"]:
        """Return the logits filtered by ``top_k``."""
        return keep_number(logits, self.top_k)


def keep_mass(logits: Float[Tensor, "K V"], mass: float) -> Float[Tensor, "K V"]:
    """Return the logits of the likeliest tokens up to the one at which their probabilities reach ``mass``, else -inf.

    Ties go to the lower id.

    Args:
        logits: a row for each position.
        mass: probability to keep.

    Returns:
        New logits; at least one token is left in each row.
    """
    return torch.cat([_keep_mass(chunk, mass) for chunk in in_chunks(logits)])


def _keep_mass(logits: Float[Tensor, "K V"], mass: float) -> Float[Tensor, "K V"]:
    by_size = logits.argsort(dim=-1, descending=True, stable=True)
    p = logits.gather(1, by_size).softmax(-1)
    is_beyond = p.cumsum(-1) - p >= mass
    is_beyond[:, 0] = False
    dropped = torch.zeros_like(is_beyond).scatter(1, by_size, is_beyond)
    return logits.masked_fill(dropped, -torch.inf)


def keep_number(logits: Float[Tensor, "K V"], number: int) -> Float[Tensor, "K V"]:
    """Return the logits of the likeliest tokens, else -inf; ties go to the lower id.

    Args:
        logits: a row for each position.
        number: tokens to keep.

    Returns:
        New logits.
    """
    by_size = logits.argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(1, by_size[:, number:], -torch.inf)
