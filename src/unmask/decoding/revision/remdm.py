"""ReMDM: written tokens are taken back at random, at a rate that leaves the marginals as they are."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import RevisionDefaults, SelectionDefaults
from unmask.decoding.interfaces import REVISIONS, SELECTIONS
from unmask.decoding.state import Candidates, Change, State
from unmask.errors import UserError

ETA = {"cap": 0.008, "rescale": 0.015, "loop": 0.02, "conf": 1.0}
Share = Annotated[float, Field(ge=0, le=1)]


def bound(alpha_s: Float[Tensor, "..."], alpha_t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return the largest sigma that leaves a posterior between two levels: min(1, (1 - alpha_s) / alpha_t).

    Args:
        alpha_s: share that is written after the step.
        alpha_t: share that is written before it.

    Returns:
        Probabilities.
    """
    return torch.where(alpha_t > 0, (1 - alpha_s) / alpha_t, alpha_s < 1).clamp(max=1)


def chance_to_write(
    alpha_s: Float[Tensor, "..."], alpha_t: Float[Tensor, "..."], sigma: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Return how likely an open position is written, so that 1 - alpha_s of all are open after the step.

    (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t); 1 where nothing should be open any more.

    Args:
        alpha_s: share that is written after the step.
        alpha_t: share that is written before it.
        sigma: how likely a written token is taken back.

    Returns:
        Probabilities.
    """
    return torch.where(alpha_t < 1, (alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t), 1)


@component
class Remasking:
    """The schedule that ReMDM's selection and revision share (arXiv 2503.00307).

    A block takes N steps: the decoder's, or one for each open position. In time t, which falls from 1 to 0 in even
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
        """Eta with its default filled in, in [0, 1]."""
        return ETA[self.strategy] if self.eta is None else self.eta

    def alpha(self, progress: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the share that is written after this share of the steps, 1 - t."""
        if self.strategy != "loop":
            return progress
        rise = progress * self.alpha_on / (1 - self.t_on)
        end = 1 - (1 - progress) * (1 - self.alpha_on) / self.t_off
        return torch.maximum(rise.clamp(max=self.alpha_on), end)

    def sigma(self, progress: Float[Tensor, " R"], later: Float[Tensor, " R"]) -> Float[Tensor, " R"]:
        """Return how likely a written token is taken back in a step; ``conf`` shares this out over the tokens.

        Args:
            progress: share of the block's steps that is done before the step.
            later: share that is done after it.

        Returns:
            Probabilities.
        """
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
    """Return the number of steps that each block takes, float64."""
    opened = candidates.block_open
    return (opened if candidates.steps is None else torch.full_like(opened, candidates.steps)).clamp(min=1).double()


@SELECTIONS.register("remdm")
@component
class RemdmSelection(Remasking, SelectionDefaults):
    """Write each open position by a coin of its own, by the posterior (MDLM, 2406.07524; ReMDM, arXiv 2503.00307).

    With probability (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t) in a step from t to s: enough to make up for the
    written tokens that the revision of the same name, which brings this selection along, takes back with probability
    sigma. With ``conf``, as published, it makes up for nothing. ``eta: 0`` is the plain posterior. A step may write
    nothing; the last one writes all.

    Args:
        strategy: how likely a written token is taken back: ``cap``, ``rescale``, ``conf`` or ``loop``.
        eta: its strength; None is the paper's for the strategy.
        t_on: when ``loop`` begins.
        t_off: when ``loop`` ends.
        alpha_on: share that is written during ``loop``.

    Differs from the paper: time ends at 0, so that the last step is the noise removal, with the decoder's own proposal
    (nucleus sampling at 0.9 in the paper: ``proposal: {name: nucleus, top_p: 0.9}``); the phases of ``loop`` meet
    within a step where the steps do not fall on them.
    """

    score: ClassVar[str] = "low_confidence"
    may_wait: ClassVar[bool] = True

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the open positions whose coins fall; all of them at the last step."""
        before, after = moments(candidates)
        sigma = torch.zeros_like(before) if self.strategy == "conf" else self.sigma(before, after)
        chance = chance_to_write(self.alpha(after), self.alpha(before), sigma)[:, None]
        # A number below 1 may round to 1.
        return candidates.is_open & ((candidates.measure("random") < chance) | (chance >= 1))


MEMORY = "remdm"


@REVISIONS.register("remdm")
@component
class RemdmRevision(Remasking, RevisionDefaults):
    """Mask each written token of the active block with probability sigma at every step (ReMDM, arXiv 2503.00307).

    Sigma is at most min(1, (1 - alpha_s) / alpha_t) in a step from t to s. The selection of the same name, which comes
    along unless another is named, writes as much more; with another one, by whose rule the block fills, tokens are
    taken back by the same clock. A block takes its N steps, full or not, but for steps that could change nothing. A row
    ends between blocks only. The paper's setting is ``blocks: whole`` with ``proposal: {name: nucleus, top_p: 0.9}``.

    Args:
        strategy: how sigma is chosen: ``cap``, ``rescale``, ``conf`` or ``loop``.
        eta: its strength; None is the paper's; 0 takes nothing back, as ``none`` does.
        t_on: when ``loop`` begins.
        t_off: when ``loop`` ends.
        alpha_on: share that is written during ``loop``.

    Differs from the paper: per block, where the paper has one; ``conf`` shares out over the block; without its noise
    removal at the end, as time ends at 0.
    """

    view: ClassVar[str | None] = None

    @property
    def selection(self) -> Mapping[str, Any]:
        """The selection ``remdm`` with this schedule."""
        return {"name": "remdm", **{each.name: getattr(self, each.name) for each in fields(self)}}

    @property
    def queries_written(self) -> bool:
        """Whether tokens are ever taken back; of written positions nothing but their coins is read."""
        return self.level > 0

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Return the change that writes what was chosen, and hides written tokens whose coins fall."""
        if not self.queries_written:
            return Change(write=chosen, hide=torch.zeros_like(chosen))
        is_written = candidates.is_queried & ~candidates.is_open
        left = steps_of(candidates) - candidates.block_steps - 1
        candidates.memory.keep(MEMORY, left[:, None].expand(chosen.shape))
        sigma = self.sigma(*moments(candidates))[:, None]
        if self.strategy == "conf":
            sigma = sigma * self._shares(state, candidates, is_written)
        return Change(write=chosen, hide=is_written & (candidates.measure("random") < sigma))

    def _shares(self, state: State, candidates: Candidates, is_written: Bool[Tensor, "R W"]) -> Float[Tensor, "R W"]:
        """Return 1 shared out over the written tokens: the lower a token's probability was, the more it gets."""
        was = state.log_prob[candidates.rows[:, None], candidates.columns].exp()
        shares = torch.where(is_written, -was, -torch.inf).softmax(1)
        return torch.where(is_written, shares, 0)

    def holds(self, state: State, changed: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return whether each block has open positions, or steps that may take tokens back: all but the last."""
        del changed
        if not self.queries_written:
            return torch.zeros_like(state.is_done)
        left = state.memory[MEMORY].values[:, 0]
        return state.has_open | (left > 1)
