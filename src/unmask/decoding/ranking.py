"""Ranking the open places of a block. Ties go to the lowest index: ``topk`` promises no order."""

from jaxtyping import Bool, Float, Int
from torch import Tensor


def top(score: Float[Tensor, "R W"], is_open: Bool[Tensor, "R W"], quota: Int[Tensor, " R"]) -> Bool[Tensor, "R W"]:
    """Pick the ``quota`` best open places of each row."""
    return is_open & (ranks(score, is_open) < quota[:, None])


def ranks(score: Float[Tensor, "R W"], is_open: Bool[Tensor, "R W"]) -> Int[Tensor, "R W"]:
    """Number the open places of each row from the best, 0, to the worst; closed places come last."""
    by_score = score.argsort(dim=-1, descending=True, stable=True)
    open_first = is_open.gather(1, by_score).long().argsort(dim=-1, descending=True, stable=True)
    return by_score.gather(1, open_first).argsort(dim=-1)
