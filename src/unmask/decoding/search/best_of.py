"""Best of n: several samples, of which the one with the highest probability is kept."""

from collections.abc import Sequence
from typing import Annotated

from jaxtyping import Bool, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.random import Draws
from unmask.decoding.interfaces import SEARCHES
from unmask.decoding.search.group import By, likeliest
from unmask.decoding.state import State


@SEARCHES.register("best_of")
@component
class BestOf:
    """Decode independent samples side by side, and keep the one that the model found likeliest while writing it.

    Args:
        particles: samples of each prompt; 1 is no search.
        by: compare the ``mean`` log probability of the answers' tokens, or the ``sum``.
    """

    particles: Annotated[int, Field(ge=1)] = 4
    by: By = "mean"

    def is_met(self, is_full: Bool[Tensor, " B"], is_done: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return the rows whose block is full: none waits for another."""
        del is_done
        return is_full

    def pick(
        self, state: State, is_met: Bool[Tensor, " B"], draws: Draws, *, index: int, eos_ids: Sequence[int]
    ) -> None:
        """Return None: each row goes on as it is."""
        del state, is_met, draws, index, eos_ids

    def best(self, state: State, eos_ids: Sequence[int]) -> Int[Tensor, " P"]:
        """Return the row of each prompt whose answer was likeliest as it was written."""
        return likeliest(state, eos_ids, self.particles, self.by)
