"""PAPL: count more what a confident planner would reveal next."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.protocols import Noised, Scored
from unmask.core.reduction import Normaliser
from unmask.objectives.base import OBJECTIVES, Composition, Weight
from unmask.objectives.masking import WEIGHTS, Masking


@WEIGHTS.register("papl")
@component
class PaplWeight(Weight):
    """Weigh hidden tokens by a planner's softmax over their gold log-probabilities (PAPL, arXiv 2509.23405).

    Over the hidden tokens of a group, w = softmax(log p(x_i).detach() / tau); a token's factor is 1 + alpha w_i, beside
    1/t where the denominator wants it.

    Args:
        alpha: strength; 0 changes nothing.
        tau: temperature of the planner.
    """

    alpha: Annotated[float, Field(ge=0)] = 1.0
    tau: Annotated[float, Field(gt=0)] = 1.0

    def refuses(self, whole: Composition) -> str | None:
        """Return why a planner cannot rank all that is queried, or None."""
        if whole.supervise is None:
            return None
        return f"weight: papl ranks hidden tokens, and {whole.name} queries more than what it hides; leave it out"

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the sum of the losses with the planner's weights, nats; the weights carry no gradient."""
        planner = _softmax_within(-scored.nll.detach() / self.tau, noised.group)
        return (noised.weight * (1 + self.alpha * planner) * scored.nll).sum()


@OBJECTIVES.register("papl")
@component
class Papl(Masking):
    """Weigh masked tokens by a planner's softmax over their gold log-probabilities (PAPL, arXiv 2509.23405).

    Over the masked tokens of an example, w = softmax(log p(x_i).detach() / tau); the loss of a token is
    (1 + alpha w_i) CE_i / |m|, averaged over examples. Easy tokens count more at every t, since a planner reveals them
    next. The weights of an example sum to 1 + alpha / |m|.

    Args:
        alpha: strength; 0 is the per-masked mean. About 5 was best for proteins.
        tau: temperature of the planner.
        normaliser: the denominator, by the names of ``unmask.core.reduction``.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring examples.
        tail: whether the columns after the answer's last block are ``supervised`` or stay ``hidden``.
        hide: which tokens are hidden, a name of ``HIDES``; None: each with probability t.
        weight: is PAPL's; leave it out.

    Differs from the paper: its planner-weighted bound has a correction term, which the released code drops, too.
    """

    alpha: Annotated[float, Field(ge=0)] = 1.0
    tau: Annotated[float, Field(gt=0)] = 1.0
    normaliser: Normaliser = "per_masked_row"

    def compose(self) -> Composition:
        """Return the planner's weights on tokens that are hidden with probability t."""
        return self.composed(weight=PaplWeight(alpha=self.alpha, tau=self.tau))


def _softmax_within(values: Float[Tensor, " K"], group: Tensor) -> Float[Tensor, " K"]:
    """Return the softmax over the members of each group."""
    groups = int(group.max()) + 1 if len(group) else 0
    highest = torch.full((groups,), -torch.inf, dtype=values.dtype, device=values.device)
    highest = highest.scatter_reduce(0, group, values, "amax")
    exp = (values - highest[group]).exp()
    return exp / torch.zeros_like(highest).index_add(0, group, exp)[group]
