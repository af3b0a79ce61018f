"""Dilated unmasking: positions far apart first, whatever the model predicts there."""

import functools
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.state import Candidates


@functools.cache
def levels(size: int, base: int, skip: int) -> tuple[int, ...]:
    """Return the step at which each offset of a block is written.

    Strides S / base^skip, then ever smaller by ``base``: each takes the multiples of it that are left. What remains is
    a last level; a last level smaller than the one before it is merged into that.

    >>> levels(8, 2, 1)
    (0, 2, 1, 2, 0, 2, 1, 2)

    Args:
        size: S, columns of the block.
        base: each stride is this many times smaller than the one before.
        skip: the first stride is S / base^skip.

    Returns:
        A level for each offset, from 0.
    """
    level = [-1] * size
    stride, number, sizes = size // base**skip, 0, list[int]()
    while -1 in level:
        taken = [offset for offset in range(size) if level[offset] < 0 and offset % max(stride, 1) == 0]
        if taken:
            for offset in taken:
                level[offset] = number
            sizes.append(len(taken))
            number += 1
        stride //= base
    if len(sizes) > 1 and sizes[-1] < sizes[-2]:
        level = [min(each, number - 2) for each in level]
    return tuple(level)


@SELECTIONS.register("dilated")
@component
class Dilated(SelectionDefaults):
    """Write a block in levels of ever denser, evenly spaced positions (DUS, arXiv 2506.19037).

    Tokens that are written together stand far apart, so that they depend little on one another; confidence plays no
    part. A block of 32 takes strides 16, 8, 4, 2, 1: 2, 2, 4, 8 and 16 tokens, log2(S) forwards.

    Args:
        base: each level's stride is this many times smaller; larger than the block, all is written at once.
        skip: the first stride is S / base^skip.

    Differs from the paper: without its re-masking of unlikely tokens, whose released form leaves masks in the text;
    levels in which nothing is open (infilling) are not run.
    """

    base: Annotated[int, Field(ge=2)] = 2
    skip: Annotated[int, Field(ge=1)] = 1

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the open positions of the lowest level that has any."""
        is_open = candidates.is_open
        places = is_open.shape[1]
        by_row = [levels(width, self.base, self.skip) for width in candidates.width.tolist()]
        padded = [[*each, *[places] * (places - len(each))] for each in by_row]
        level = torch.where(is_open, torch.tensor(padded, device=is_open.device), places)
        return is_open & (level == level.amin(1, keepdim=True))
