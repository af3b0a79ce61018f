"""Self-rewarding sequential Monte Carlo: particles that are resampled by their own confidence."""

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.random import Draws
from unmask.decoding.interfaces import SEARCHES
from unmask.decoding.search.group import By, answer_log_prob, likeliest
from unmask.decoding.state import State


@SEARCHES.register("smc")
@component
class Smc:
    """Decode particles side by side; after every block, let unlikely ones continue as likely ones (arXiv 2602.01849).

    A particle's weight is the probability of what it has added to its answer since it was last resampled. Where the
    effective sample size 1 / sum w^2 of a prompt's particles falls below a share of them, all are drawn anew by their
    weights, with replacement. In the end the particle whose whole answer was likeliest as it was written is kept. The
    paper's other settings are ``temperature: 1`` and ``threshold: 0.9``.

    Args:
        particles: rows of each prompt; 1 is no search.
        resample_below: share of the particles below which the effective sample size leads to resampling; 0 is never,
            which is ``best_of``.
        by: the final choice; the paper takes the ``sum`` of log probabilities.

    Differs from the paper: a particle that has ended waits with its weight and may be continued by others; what stands
    after an end token does not count.
    """

    particles: Annotated[int, Field(ge=1)] = 4
    resample_below: Annotated[float, Field(ge=0, le=1)] = 0.5
    by: By = "sum"

    def is_met(self, is_full: Bool[Tensor, " B"], is_done: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return the rows whose prompt's particles all have a full block or have ended, one of them full at least."""
        is_ready = (is_full | is_done).view(-1, self.particles).all(1)
        is_going = is_full.view(-1, self.particles).any(1)
        return (is_ready & is_going).repeat_interleave(self.particles)

    def pick(
        self, state: State, is_met: Bool[Tensor, " B"], draws: Draws, *, index: int, eos_ids: Sequence[int]
    ) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"]] | None:
        """Return the row that each continues: prompts whose weight rests on few particles have theirs drawn anew."""
        total = answer_log_prob(state, eos_ids, "sum")
        weight = (total - state.log_resampled).view(-1, self.particles).softmax(1)
        # A millionth of slack: equal weights of three particles count for a little less than three.
        size = (1 + 1e-6) / weight.square().sum(1)
        is_uneven = is_met.view(-1, self.particles)[:, 0] & (size < self.resample_below * self.particles)
        if not bool(is_uneven.any()):
            return None
        is_resampled = is_uneven.repeat_interleave(self.particles)
        own = torch.arange(len(is_met), device=is_met.device)
        first = own - own % self.particles
        point = draws.uniform("resample", state.batch.order, torch.full_like(own, index)).view(-1, self.particles)
        picked = torch.where(is_resampled, first + inverse(weight, point).flatten(), own)
        return picked, torch.where(is_resampled, total[picked], state.log_resampled)

    def best(self, state: State, eos_ids: Sequence[int]) -> Int[Tensor, " P"]:
        """Return the row of each prompt whose answer was likeliest as it was written."""
        return likeliest(state, eos_ids, self.particles, self.by)


def inverse(weight: Float[Tensor, "P N"], point: Float[Tensor, "P M"]) -> Int[Tensor, "P M"]:
    """Return the particle at each point of the cumulative weights: n of them are a draw with replacement.

    Args:
        weight: of each particle of each prompt; not all 0.
        point: numbers in [0, 1).

    Returns:
        Indices of particles.
    """
    upto = weight.cumsum(1)
    return torch.searchsorted(upto, point * upto[:, -1:], right=True).clamp(max=weight.shape[1] - 1)
