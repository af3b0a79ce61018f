"""Ranks within groups."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rank_within(values: Float[Tensor, " K"], group: Int[Tensor, " K"], groups: int) -> Int[Tensor, " K"]:
    """Rank values within their groups, the largest first; ties go to the earlier one.

    >>> rank_within(torch.tensor([1.0, 3.0, 2.0]), torch.tensor([0, 1, 0]), 2).tolist()
    [1, 0, 0]
    """
    by_value = values.argsort(descending=True, stable=True)
    by_group = by_value[group[by_value].argsort(stable=True)]
    members = torch.bincount(group, minlength=groups)
    start = members.cumsum(0) - members
    rank = torch.empty_like(group)
    rank[by_group] = torch.arange(len(group), device=group.device) - start[group[by_group]]
    return rank
