"""The soft mask: what was last predicted for a hidden position, blended into its mask embedding."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # torch's own convention

from unmask.heads.base import HEADS, Head


def _inverse_softplus(value: float) -> float:
    return math.log(math.expm1(value))


@HEADS.register("soft_mask")
class SoftMask(Head):
    """Three learned scalars that set how far predictions replace a mask embedding (arXiv 2510.17206, Eq. 3-5).

    lambda = scale * sigmoid(steepness * (-H - centre)), with H the entropy of the prediction in nats;
    embedding = (1 - lambda) E[mask] + lambda * sum over the k likeliest v of pi_v E[v], pi renormalised over them.

    Parametrised as scale = sigmoid(.), centre = -softplus(.), steepness = softplus(.), from about 0, -0.75 and 10/1.5.

    Args:
        model: unused; every head is made for a model.
        top_k: k; 3 for language, 1 for code.
        lr: learning rate of the three scalars.
        scale: where the largest share starts; from the paper's 1e-6 it takes thousands of steps to matter.
    """

    free: ClassVar[tuple[str, ...]] = ("lr", "scale")

    def __init__(self, model: nn.Module, *, top_k: int = 3, lr: float = 1e-2, scale: float = 1e-6) -> None:
        super().__init__(model)
        self.top_k, self.lr, self.first_scale = top_k, lr, scale
        self.raw_scale = nn.Parameter(torch.tensor(math.log(scale / (1 - scale))))
        self.raw_centre = nn.Parameter(torch.tensor(_inverse_softplus(0.75)))
        self.raw_steepness = nn.Parameter(torch.tensor(_inverse_softplus(10 / 1.5)))

    @property
    def settings(self) -> Mapping[str, Any]:
        """Number of blended tokens k, learning rate, and first scale."""
        return {"top_k": self.top_k, "lr": self.lr, "scale": self.first_scale}

    @property
    def scale(self) -> Float[Tensor, ""]:
        """Largest share that predictions may take, in (0, 1)."""
        return self.raw_scale.sigmoid()

    def share(self, entropy: Float[Tensor, "*M"]) -> Float[Tensor, "*M"]:
        """Return lambda, the share of the predictions; ``entropy`` is in nats, and a lower one gives a larger share."""
        centre, steepness = -F.softplus(self.raw_centre), F.softplus(self.raw_steepness)
        return self.scale * (steepness * (-entropy - centre)).sigmoid()

    def blend(self, logits: Float[Tensor, "M V"], mask_id: int) -> tuple[Int[Tensor, "M J"], Float[Tensor, "M J"]]:
        """Return the tokens that are blended at each position, the mask token first, and their shares.

        Args:
            logits: predictions for hidden positions; no gradient flows into them.
            mask_id: never blended as a prediction.

        Returns:
            Ids and shares, [M, k + 1]; the shares of a position sum to 1.
        """
        logits = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
        log_p = logits.log_softmax(-1)
        entropy = -(log_p.exp() * log_p).sum(-1)
        allowed = logits.clone()
        allowed[:, mask_id] = -torch.inf
        top = allowed.topk(self.top_k, dim=-1)
        share = self.share(entropy)[:, None]
        ids = torch.cat([torch.full_like(top.indices[:, :1], mask_id), top.indices], dim=1)
        return ids, torch.cat([1 - share, share * top.values.softmax(-1)], dim=1)
