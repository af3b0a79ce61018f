"""How many tokens are written at each time, and how likely a written one is taken back: ReMDM's schedules."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from unmask.config import part
from unmask.decoding.state import Candidates
from unmask.errors import UserError

ETA = {"cap": 0.008, "rescale": 0.015, "loop": 0.02, "conf": 1.0}
Share = Annotated[float, Field(ge=0, le=1)]


def bound(alpha_s: Float[Tensor, "..."], alpha_t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return the largest sigma that leaves a posterior between two levels: min(1, (1 - alpha_s) / alpha_t)."""
    return torch.where(alpha_t > 0, (1 - alpha_s) / alpha_t, alpha_s < 1).clamp(max=1)


def chance_to_write(
    alpha_s: Float[Tensor, "..."], alpha_t: Float[Tensor, "..."], sigma: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Return how likely an open place is written, so that 1 - alpha_s of all are open after the step.

    (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t); 1 where nothing should be open any more.
    """
    return torch.where(alpha_t < 1, (alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t), 1)


@part
class Remasking:
    """The schedule that ReMDM's selection and revision share (arXiv 2503.00307).

    A block takes N steps: the decoder's, or as many as it has open places. In time t, which falls from 1 to 0 in even
    steps, alpha_t = 1 - t of it is written, in expectation; ``loop`` has a time table of its own.

    Args:
        strategy: how likely a written token is taken back. ``cap``: min(eta, bound). ``rescale``: eta * bound.
            ``conf``: eta * bound * the softmax, over the block's written tokens, of minus the probability that each had
            when it was written. ``loop``: as ``cap`` from ``t_on`` to ``t_off``, while alpha stays at ``alpha_on``;
            never before and after.
        eta: None is 0.008 for ``cap``, 0.015 for ``rescale``, 0.02 for ``loop``, 1 for ``conf``; 0 takes nothing back.
        t_on: when the loop begins.
        t_off: when it ends.
        alpha_on: share that is written meanwhile.
    """

    strategy: Literal["cap", "rescale", "conf", "loop"] = "cap"
    eta: Share | None = None
    t_on: Annotated[float, Field(gt=0, lt=1)] = 0.55
    t_off: Annotated[float, Field(gt=0, lt=1)] = 0.05
    alpha_on: Annotated[float, Field(gt=0, lt=1)] = 0.9

    def __post_init__(self) -> None:
        if self.t_off > self.t_on:
            raise UserError(f"t_off={self.t_off} after t_on={self.t_on}: time falls; expected t_off <= t_on")

    @property
    def level(self) -> float:
        """Eta with its default filled in."""
        return ETA[self.strategy] if self.eta is None else self.eta

    def alpha(self, progress: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the share that is written after this share of the steps, 1 - t."""
        if self.strategy != "loop":
            return progress
        rise = progress * self.alpha_on / (1 - self.t_on)
        end = 1 - (1 - progress) * (1 - self.alpha_on) / self.t_off
        return torch.maximum(rise.clamp(max=self.alpha_on), end)

    def sigma(self, progress: Float[Tensor, " R"], later: Float[Tensor, " R"]) -> Float[Tensor, " R"]:
        """Return how likely a written token is taken back between two moments; ``conf`` shares this out."""
        highest = bound(self.alpha(later), self.alpha(progress))
        if self.strategy in ("rescale", "conf"):
            return self.level * highest
        sigma = highest.clamp(max=self.level)
        if self.strategy == "cap":
            return sigma
        is_on = (progress >= 1 - self.t_on) & (progress < 1 - self.t_off)
        return torch.where(is_on, sigma, 0)


def moments(candidates: Candidates) -> tuple[Float[Tensor, " R"], Float[Tensor, " R"]]:
    """Return the share of each block's steps that is done, before this step and after it."""
    number, done = steps_of(candidates), candidates.block_steps
    return torch.minimum(done, number) / number, torch.minimum(done + 1, number) / number


def steps_of(candidates: Candidates) -> Tensor:
    """Count the steps that each block takes."""
    opened = candidates.block_open
    return (opened if candidates.steps is None else torch.full_like(opened, candidates.steps)).clamp(min=1).double()
