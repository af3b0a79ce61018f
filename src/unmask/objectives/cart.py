"""CART: a hidden token counts by how much is visible around it."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # torch's own convention

from unmask.config.components import component
from unmask.core.reduction import Normaliser
from unmask.objectives.base import OBJECTIVES, Composition, Hidden, Region, Weight
from unmask.objectives.masking import WEIGHTS, Masking

NEGLIGIBLE = 1e-9


@WEIGHTS.register("cart")
@component
class CartWeight(Weight):
    """Weigh each hidden token by the visible tokens near it (CART, Dream 7B, arXiv 2508.15487).

    w_n = 1/2 * sum over visible i != n of p (1 - p)^(|n - i| - 1). A token whose whole document is visible around it
    weighs 1, at the edge 1/2; with hardly anything visible the weight vanishes.

    Args:
        p: sharpness: near 1 only the neighbours count, near 0 all tokens alike.
        time_weight: divide by t as well.
    """

    p: Annotated[float, Field(gt=0, le=1)] = 0.1
    time_weight: bool = False

    def refuses(self, whole: Composition) -> str | None:
        """Return why blocks that each see another context cannot be weighed so, or None."""
        if not whole.scope.has_context_per_block:
            return None
        return (
            "weight: cart weighs tokens by what is visible, and in two streams each block sees something else; use "
            "blockwise and write layout: views"
        )

    def weigh(self, region: Region, hidden: Hidden, *, by_t: bool) -> Float[Tensor, " K"]:
        """Return the context weight of each queried token, divided by t if ``time_weight`` is set."""
        del by_t
        is_hidden = hidden.is_queried | region.is_hidden
        weight = self._context(region, (~is_hidden & ~region.batch.is_pad).double())[hidden.is_queried]
        return (weight / hidden.level[hidden.is_queried] if self.time_weight else weight).float()

    def _context(self, region: Region, visible: Float[Tensor, "B L"]) -> Float[Tensor, "B L"]:
        """Return the kernel's sum over each example's visible columns; examples are laid out a row each for it."""
        batch = region.batch
        here = ~batch.is_pad
        row, position = batch.owner[here], batch.position[here]
        length = int(position.max()) + 1 if len(position) else 1
        alone = torch.zeros((len(batch.order), length), dtype=visible.dtype, device=visible.device)
        alone[row, position] = visible[here]
        summed = F.conv1d(alone[:, None], self._kernel(length).to(alone)[None, None], padding="same")[:, 0]
        out = torch.zeros_like(visible)
        out[here] = summed[row, position]
        return out

    def _kernel(self, length: int) -> Float[Tensor, " W"]:
        """Return the weights by distance, from left to right, cut off where they no longer matter."""
        reach = length - 1
        if self.p < 1:
            reach = min(reach, math.ceil(math.log(NEGLIGIBLE) / math.log1p(-self.p)))
        distance = torch.arange(1, max(reach, 1) + 1, dtype=torch.float64)
        side = 0.5 * self.p * (1 - self.p) ** (distance - 1)
        return torch.cat([side.flip(0), torch.zeros(1, dtype=torch.float64), side])


@OBJECTIVES.register("cart")
@component
class Cart(Masking):
    """Weigh each masked token by the visible tokens near it (CART, Dream 7B, arXiv 2508.15487).

    w_n = 1/2 * sum over visible i != n of p (1 - p)^(|n - i| - 1); loss = sum of w_n CE_n over masked n, divided by the
    number of masked tokens. A token whose whole document is visible around it weighs 1, at the edge 1/2; with hardly
    anything visible the weight vanishes. No 1/t.

    Args:
        p: sharpness: near 1 only the neighbours count, near 0 all tokens alike. Dream ships 0.1 (its function's default
            is 0.8; dllm uses 0.3).
        time_weight: divide by t as well (LIFT's re-implementation).
        normaliser: the denominator; ``per_masked`` as in Dream, which sums masked tokens over all ranks.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring examples.
        tail: whether the columns after the answer's last block are ``supervised`` or stay ``hidden``.
        hide: which tokens are hidden, a name of ``HIDES``; None: each with probability t.
        weight: is CART's; leave it out.

    Differs from the paper: t has the lower bound eps; neighbours of other documents in a packed row do not count.
    """

    p: Annotated[float, Field(gt=0, le=1)] = 0.1
    time_weight: bool = False
    normaliser: Normaliser = "per_masked_row"

    def compose(self) -> Composition:
        """Return CART's weights on tokens that are hidden with probability t."""
        return self.composed(weight=CartWeight(p=self.p, time_weight=self.time_weight))
