"""The best place of each gap in the text: dInfer's hierarchical decoding."""

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
    """Write the best place of each run of open places, and all that are sure (dInfer, arXiv 2510.08666).

    Runs are neighbouring open places of the block. Written together, their best places stand apart, and each splits its
    run: at best a block takes about log2(S) forwards. The block's best place is always written.

    Args:
        low: what the best place of a run must exceed; infinity is ``threshold``, up to > for >=.
        threshold: what every other place must exceed.

    Differs from the paper: of equally good places of a run the leftmost is written, not all.
    """

    low: Limit = 0.4
    threshold: Limit = 0.9

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Rank within each run."""
        is_open, score = candidates.is_open, candidates.score
        rank = ranks(score, is_open)
        leads = best_of_runs(rank, is_open) & (score > self.low)
        return is_open & (leads | (score > self.threshold) | (rank == 0))


def best_of_runs(rank: Int[Tensor, "R W"], is_open: Bool[Tensor, "R W"]) -> Bool[Tensor, "R W"]:
    """Find the open place of the lowest rank in each run of neighbouring open places."""
    before = torch.nn.functional.pad(is_open, (1, 0))[:, :-1]
    run = (is_open & ~before).cumsum(1)
    worst = rank.shape[1]
    lowest = torch.full((len(rank), worst + 1), worst, dtype=rank.dtype, device=rank.device)
    lowest = lowest.scatter_reduce(1, run, torch.where(is_open, rank, worst), "amin")
    return is_open & (rank == lowest.gather(1, run))
