"""Take written tokens back at random, at a rate that leaves the marginals as they are: ReMDM."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import REVISIONS
from unmask.decoding.remasking import Remasking, moments, steps_of
from unmask.decoding.revision.headless import Headless
from unmask.decoding.state import Candidates, Change, State

NOTE = "remdm"


@REVISIONS.register("remdm")
@part
class Remask(Remasking, Headless):
    """Mask each written token of the active block with probability sigma at every step (ReMDM, arXiv 2503.00307).

    Sigma is at most min(1, (1 - alpha_s) / alpha_t) in a step from t to s. The selection of the same name, which comes
    along unless another is named, writes as much more; with another one, by whose rule the block fills, tokens are
    taken back by the same clock. A block takes its N steps, full or not, but for steps that could change nothing. A row
    ends between blocks only. The paper's setting is ``blocks: whole`` with ``proposal: {name: nucleus, top_p: 0.9}``.

    Args:
        strategy: ``cap``, ``rescale``, ``conf`` or ``loop``; see ``unmask.decoding.remasking``.
        eta: its strength; None is the paper's; 0 takes nothing back, as ``none`` does.
        t_on: of ``loop``.
        t_off: of ``loop``.
        alpha_on: of ``loop``.

    Differs from the paper: per block, where the paper has one; ``conf`` shares out over the block; without its noise
    removal at the end, as time ends at 0 (see the selection).
    """

    view: ClassVar[str | None] = None

    @property
    def selection(self) -> Mapping[str, Any]:
        """The coins that go with this schedule."""
        return {"name": "remdm", **{each.name: getattr(self, each.name) for each in fields(self)}}

    @property
    def asks_written(self) -> bool:
        """Unless nothing is taken back. Nothing but their coins is read."""
        return self.level > 0

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Toss a coin for every token that is written."""
        if not self.asks_written:
            return Change(write=chosen, hide=torch.zeros_like(chosen))
        is_written = candidates.is_asked & ~candidates.is_open
        left = steps_of(candidates) - candidates.block_steps - 1
        candidates.notes.keep(NOTE, left[:, None].expand(chosen.shape))
        sigma = self.sigma(*moments(candidates))[:, None]
        if self.strategy == "conf":
            sigma = sigma * self._shares(state, candidates, is_written)
        return Change(write=chosen, hide=is_written & (candidates.measure("random") < sigma))

    def _shares(self, state: State, candidates: Candidates, is_written: Bool[Tensor, "R W"]) -> Float[Tensor, "R W"]:
        """Share 1 out over the written places: the less sure a token was, the more it gets."""
        was = state.log_prob[candidates.rows[:, None], candidates.columns].exp()
        shares = torch.where(is_written, -was, -torch.inf).softmax(1)
        return torch.where(is_written, shares, 0)

    def holds(self, state: State, changed: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """While the block has open places, or steps in which tokens may be taken back: all but the last."""
        del changed
        if not self.asks_written:
            return torch.zeros_like(state.is_done)
        left = state.notes[NOTE].values[:, 0]
        return state.has_open | (left > 1)
