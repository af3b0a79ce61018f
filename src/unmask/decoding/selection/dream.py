"""Dream's sampler: how much is written follows a clock."""

import functools
from typing import Annotated, Literal

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import top
from unmask.decoding.shares import floor
from unmask.decoding.state import Candidates

MEASURES = {"origin": "random_order", "maskgit_plus": "low_confidence", "entropy": "entropy", "topk_margin": "margin"}


@SELECTIONS.register("dream")
@component
class Dream(SelectionDefaults):
    """Write the share of open positions that a falling noise level sets (Dream 7B, arXiv 2508.15487).

    The level falls from 1 to eps in N even steps, N the steps of the block (one a token if not given). A step from t to
    s writes floor(m (1 - s / t)) of m open positions, those of the highest score, the last step all; ``origin`` writes
    each position by a coin of that probability instead. Dream's own decoding is this with ``blocks: whole``,
    ``steps: N`` and the proposal ``nucleus`` with ``scores: shaped``.

    Args:
        alg: ``entropy`` (recommended by the paper), ``maskgit_plus`` (probability), ``topk_margin`` (gap between the
            two likeliest tokens) or ``origin``.
        alg_temp: above 0, positions are drawn without replacement from softmax(score / alg_temp) instead.
        eps: the last level; 0 with steps that divide the block's size is ``quota``.

    Differs from the paper: counted per row, not as the mean over the batch; steps that write nothing are not run (the
    next forward would see the same text); the default ``alg`` is the recommended one, Dream's code has ``origin``.
    """

    alg: Literal["entropy", "maskgit_plus", "topk_margin", "origin"] = "entropy"
    alg_temp: Annotated[float, Field(ge=0)] = 0.0
    eps: Annotated[float, Field(ge=0, lt=1)] = 1e-3

    @property
    def score(self) -> str:
        """Name of the score that ``alg`` stands for."""
        return MEASURES[self.alg]

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the open positions of the highest scores, as many as this step's level sets."""
        if self.alg == "origin":
            return self._arrived(candidates)
        planned = [
            counts(opened, candidates.steps or opened, self.eps) or (1,) for opened in candidates.block_open.tolist()
        ]
        taken = [
            each[min(step, len(each) - 1)] for each, step in zip(planned, candidates.block_steps.tolist(), strict=True)
        ]
        quota = torch.tensor(taken, device=candidates.is_open.device)
        score = candidates.score.double()
        if self.alg_temp:
            # The largest of score / T + Gumbel noise are a draw without replacement.
            uniform = candidates.measure("random").double().clamp(min=2.0**-54)
            score = score / self.alg_temp - torch.log(-torch.log(uniform))
        return top(score, candidates.is_open, quota)

    def _arrived(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the positions whose coin falls next."""
        # A position is still open after step i with probability t[i + 1], so one number u of its own says when it is
        # written: at the first step with t[i + 1] <= u, or the last.
        opened, steps = candidates.block_open, candidates.steps
        number = (opened if steps is None else torch.full_like(opened, steps))[:, None]
        when = torch.ceil((1 - candidates.score) * number / (1 - self.eps)) - 1
        when = torch.minimum(when.clamp(min=0), number - 1)
        when = torch.where(candidates.is_open, when, torch.inf)
        return candidates.is_open & (when == when.amin(1, keepdim=True))


@functools.cache
def counts(opened: int, steps: int, eps: float) -> tuple[int, ...]:
    """Return how many of ``opened`` positions each step writes, without those that write none.

    >>> counts(4, 4, 1e-3)
    (1, 1, 2)

    Args:
        opened: open positions of the block.
        steps: of the block.
        eps: the last noise level.

    Returns:
        A number for each step, of the sum ``opened``.
    """
    left, written = opened, []
    for number in range(steps):
        share = (1 - eps) / (steps - number * (1 - eps))
        # At eps = 0 the products are whole numbers, up to rounding.
        now = left if number == steps - 1 else floor(left * share)
        written.append(now)
        left -= now
    return tuple(now for now in written if now)
