"""A share of a count as a whole number: 0.7 of 10 is 7, although the product of the two floats is not."""

import math

import torch
from jaxtyping import Int
from torch import Tensor

SLACK = 5e-7
"""How far beside a whole number a product may be and count as that number. Shares are written with a few decimals."""


def floor(product: float) -> int:
    """Return a product rounded down.

    >>> floor(0.29 * 100), floor(28.99)
    (29, 28)
    """
    return math.floor(product + SLACK)


def at_most(share: float, count: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
    """Return the share of each count, rounded down. In float64: from 32 on, float32 is coarser than the slack."""
    return torch.floor(share * count.double() + SLACK).long()


def at_least(share: float, count: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
    """Return the share of each count, rounded up, in float64."""
    return torch.ceil(share * count.double() - SLACK).long()
