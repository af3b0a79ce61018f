"""Rows of uneven lengths, read in groups of nearly even ones: padding costs as much as text does."""

import functools
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from unmask.core.attention import PAD
from unmask.core.attention_rules import PerRow
from unmask.core.protocols import Denoiser, Query, SoftTokens

_CALL = 64  # columns that take as long as a call costs beside its columns, on a CPU


def groups(model: Denoiser, query: Query) -> list[Int[Tensor, " _"]]:
    """Return the rows of a query, split so that reading the groups one after the other costs least.

    One group on accelerators, where a call costs more than much padding; for models with heads, which hear the last
    forward only; and for queries whose rows or columns belong together in another way.

    Args:
        model: that will read them.
        query: its rows may differ in length.

    Returns:
        Rows of each group, ascending.
    """
    rows = torch.arange(len(query.ids), device=query.ids.device)
    is_bound = query.before is not None or query.past is not None or isinstance(query.rule, PerRow)
    if len(rows) < 2 or query.ids.device.type != "cpu" or model.heads or is_bound:
        return [rows]
    lengths = (query.columns.segment != PAD).sum(1)
    order = lengths.argsort(stable=True)
    return [order[begin:end].sort().values for begin, end in _cheapest(tuple(lengths[order].tolist()))]


@functools.lru_cache(maxsize=256)
def _cheapest(lengths: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return ascending lengths cut into runs whose padded sizes, and a call for each, are least in sum.

    >>> _cheapest((10, 10, 500, 510))
    ((0, 2), (2, 4))
    >>> _cheapest((100, 101, 110))
    ((0, 3),)
    """
    best: list[tuple[int, tuple[tuple[int, int], ...]]] = [(0, ())]
    for end in range(1, len(lengths) + 1):
        ways = ((best[begin][0] + (end - begin) * lengths[end - 1] + _CALL, begin) for begin in range(end))
        cost, begin = min(ways)
        best.append((cost, (*best[begin][1], (begin, end))))
    return best[-1][1]


def cut(
    query: Query, query_positions: Int[Tensor, "K 2"], split: list[Int[Tensor, " _"]]
) -> Iterator[tuple[Query, Int[Tensor, "M 2"], Int[Tensor, " M"]]]:
    """Cut a query into groups of rows, each as wide as its longest row.

    Args:
        query: what is to be read.
        query_positions: (row, column) of the predictions.
        split: rows of each group.

    Yields:
        The narrower query, the queried (row, column) within it, and their indices in ``query_positions``.
    """
    lengths = (query.columns.segment != PAD).sum(1)
    for rows in split:
        width = int(lengths[rows].max())
        local = torch.full_like(lengths, -1)
        local[rows] = torch.arange(len(rows), device=rows.device)
        mine = (local[query_positions[:, 0]] >= 0).nonzero().squeeze(1)
        queried = torch.stack([local[query_positions[mine, 0]], query_positions[mine, 1]], dim=1)
        part = replace(
            query, ids=query.ids[rows, :width], columns=query.columns[rows, :width], soft=_soft(query.soft, local)
        )
        yield part, queried, mine


def _soft(soft: SoftTokens | None, local: Int[Tensor, " R"]) -> SoftTokens | None:
    if soft is None:
        return None
    row = local[soft.query_positions[:, 0]]
    is_here = row >= 0
    at = torch.stack([row, soft.query_positions[:, 1]], dim=1)[is_here]
    return SoftTokens(query_positions=at, ids=soft.ids[is_here], weights=soft.weights[is_here])
