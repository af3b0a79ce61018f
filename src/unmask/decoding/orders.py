"""Orders of writing that do not depend on what the model finds likely, as scores of proposals; larger comes first."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from unmask.core.random import Draws


def random(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Return numbers from U(0, 1), new at every forward: any order."""
    del token
    return draws.uniform("score", *keys).to(logits.dtype)


def random_order(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Return numbers from U(0, 1), one for each position at all forwards: an order that is fixed beforehand."""
    del token
    order, _, offset = keys
    return draws.uniform("order", order, offset).to(logits.dtype)


def sequential(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Return minus the column of the canvas: from left to right (SDAR's remasking of that name)."""
    del token, draws
    return -keys[2].to(logits.dtype)
