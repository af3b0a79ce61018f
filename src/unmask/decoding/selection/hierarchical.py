"""dInfer's hierarchical decoding: the best position of each gap in the text."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import Limit, ranks
from unmask.decoding.state import Candidates


@SELECTIONS.register("hierarchical")
@component
class Hierarchical(SelectionDefaults):
    """Write the best position of each run of open ones, and all that are likely (dInfer, arXiv 2510.08666).

    Runs are neighbouring open positions of the block. Written together, their best positions stand apart, and each
    splits its run: at best a block takes about log2(S) forwards. The block's best position is always written.

    Args:
        low: what the best position of a run must exceed; infinity is ``threshold``, up to > for >=.
        threshold: what every other position must exceed.

    Differs from the paper: of equally good positions of a run the leftmost is written, not all.
    """

    low: Limit = 0.4
    threshold: Limit = 0.9

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the best of each run if above ``low``, all above ``threshold``, and the best of the block."""
        is_open, score = candidates.is_open, candidates.score
        rank = ranks(score, is_open)
        leads = best_of_runs(rank, is_open) & (score > self.low)
        return is_open & (leads | (score > self.threshold) | (rank == 0))


def best_of_runs(rank: Int[Tensor, "R W"], is_open: Bool[Tensor, "R W"]) -> Bool[Tensor, "R W"]:
    """Return the open position of the lowest rank in each run of neighbouring open positions.

    Args:
        rank: of each position, 0 for the best.
        is_open: positions that may be written.

    Returns:
        Whether each position is the best of its run.
    """
    before = torch.nn.functional.pad(is_open, (1, 0))[:, :-1]
    run = (is_open & ~before).cumsum(1)
    worst = rank.shape[1]
    lowest = torch.full((len(rank), worst + 1), worst, dtype=rank.dtype, device=rank.device)
    lowest = lowest.scatter_reduce(1, run, torch.where(is_open, rank, worst), "amin")
    return is_open & (rank == lowest.gather(1, run))
