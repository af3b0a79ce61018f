"""Swordsman's selection: a threshold that follows the state of the block."""

from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import top
from unmask.decoding.state import Candidates


@SELECTIONS.register("swordsman")
@component
class AdaptiveThreshold(SelectionDefaults):
    """Write every position above a threshold that falls as the block grows certain (Swordsman, after its abstract).

    tau = low + (high - low) * mean over the open positions of H / ln V, at least the best position. No parity with the
    paper is claimed: its formulas were not published where we could read them. With the block rule of the same name.

    Args:
        low: threshold where every prediction is certain.
        high: threshold where every prediction is uniform; equal to ``low`` this is ``threshold``.

    Differs from the paper: the formula is ours, after the description in the abstract.
    """

    low: float = 0.7
    high: float = 0.95

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the positions at or above the row's own threshold, and the best."""
        is_open = candidates.is_open
        best = top(candidates.score, is_open, torch.ones_like(candidates.block_open))
        doubt = torch.where(is_open, 1 - candidates.measure("certainty"), 0)
        mean = doubt.sum(1) / is_open.sum(1).clamp(min=1)
        threshold = self.low + (self.high - self.low) * mean
        return best | (is_open & (candidates.score >= threshold[:, None]))
