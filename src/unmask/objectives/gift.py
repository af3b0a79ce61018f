"""GIFT: hide uncertain tokens more often."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from unmask.config.components import component
from unmask.core.protocols import Denoiser
from unmask.core.random import Draws
from unmask.core.reduction import Normaliser
from unmask.objectives.base import OBJECTIVES, Composition, Hidden, Hide, Region, Weight
from unmask.objectives.masking import HIDES, Masking, TimeWeight, bernoulli


@HIDES.register("gift")
@component
class GiftHide(Hide):
    """Hide each token at a rate of its own, by its entropy under a fully hidden region (GIFT, arXiv 2509.20863).

    A forward without gradient gives entropies H_i in nats; with beta_i = sqrt(H_i) and its mean beta,
    t_i = 1 - (1 - t)^(beta_i / beta).

    Args:
        reference: beta is the mean over each group (``example``), or over the ``batch``.
    """

    reference: Literal["example", "batch"] = "example"

    @property
    def weight(self) -> Weight:
        """1/t of each token's own rate, under every denominator."""
        return TimeWeight(when="always")

    def choose(self, region: Region, *, model: Denoiser, draws: Draws) -> Sequence[Hidden]:
        """Return the tokens that a coin of their own rate hides."""
        rate = self._rates(region, model)
        return [Hidden(is_queried=region.is_response & bernoulli(draws, "mask", region.batch, rate), level=rate)]

    @torch.no_grad()
    def _rates(self, region: Region, model: Denoiser) -> Float64[Tensor, "B L"]:
        """Return each token's rate, from its entropy under the fully hidden response."""
        t, group = region.t, region.group[region.is_response]
        rate = region.spread(t)
        if not len(group):
            return rate
        query, column = region.ask(model, region.is_response)
        at = torch.stack([region.is_response.nonzero()[:, 0], column[region.is_response]], dim=1)
        entropy = model.score(query, at, region.batch.ids[region.is_response], want=("entropy",)).entropy
        if entropy is None:
            raise TypeError("the model was asked for entropies and gave none")
        beta = entropy.double().clamp(min=0).sqrt()
        if self.reference == "batch":
            mean = beta.mean().expand(len(t))
        else:
            total = torch.zeros_like(t).index_add(0, group, beta)
            mean = total / torch.bincount(group, minlength=len(t)).clamp(min=1)
        # Where nothing is uncertain, every token is average.
        relative = torch.where(mean[group] > 0, beta / mean[group].clamp(min=1e-12), 1.0)
        own = 1 - (1 - t[group]) ** relative
        rate = rate.clone()
        rate[region.is_response] = own.clamp(region.schedule.eps, 1.0)
        return rate


@OBJECTIVES.register("gift")
@component
class Gift(Masking):
    """Mask each token at a rate of its own, by its entropy under a fully hidden response (GIFT, arXiv 2509.20863).

    A forward without gradient, with the whole response hidden, gives entropies H_i in nats. With beta_i = sqrt(H_i),
    its mean beta over the response, and t ~ U(eps, 1): t_i = 1 - (1 - t)^(beta_i / beta), m_i ~ Bernoulli(t_i), and the
    loss of a masked token is CE_i / t_i. Tokens of average entropy are hidden at rate t, uncertain ones earlier.

    Args:
        reference: beta is the mean over the ``example``, or over the ``batch`` (LIFT's re-implementation).
        normaliser: the denominator; ``per_masked`` as in the re-implementation. With a denominator that does not
            depend on the draw, E[m_i / t_i] = 1: the objective's expectation is that of ``vanilla``, and only which
            tokens are hidden together differs.
        eps: smallest noise level, also of single tokens: a token of no entropy is hidden at rate eps.
        stratified: spread t evenly over neighbouring examples.
        tail: whether the columns after the answer's last block are ``supervised`` or stay ``hidden``.
        hide: is GIFT's; leave it out.
        weight: what each is worth, a name of ``WEIGHTS``; then tokens are not divided by their rate.

    Differs from the paper: the printed equation has another constant in the denominator; here it is the mean over
    examples of the sum over their masked tokens. Entropies of zero are safe (0/0 in the re-implementation).
    """

    reference: Literal["example", "batch"] = "example"
    normaliser: Normaliser = "per_masked_row"

    def compose(self) -> Composition:
        """Return GIFT's choice, with its weights unless the recipe has others."""
        return self.composed(hide=GiftHide(reference=self.reference))
