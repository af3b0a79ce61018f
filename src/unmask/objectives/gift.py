"""GIFT: hide uncertain tokens more often."""

from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from unmask.config import part
from unmask.losses import Normaliser
from unmask.objectives.base import OBJECTIVES, bernoulli
from unmask.objectives.masking import Hidden, Masking
from unmask.objectives.region import Region
from unmask.seeds import Draws
from unmask.types import Denoiser


@OBJECTIVES.register("gift")
@part
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
        tail: as in ``vanilla``.

    Differs from the paper: the printed equation has another constant in the denominator; here it is the mean over
    examples of the sum over their masked tokens. Entropies of zero are safe (0/0 in the re-implementation).
    """

    reference: Literal["example", "batch"] = "example"
    normaliser: Normaliser = "per_masked_row"

    def hide(self, region: Region, *, model: Denoiser, draws: Draws) -> Hidden:
        """Hide each response token at its own rate."""
        rate = self._rates(region, model)
        return Hidden(is_asked=region.is_response & bernoulli(draws, "mask", region.batch, rate), level=rate)

    def weigh(self, region: Region, hidden: Hidden, *, by_t: bool) -> Float[Tensor, " K"]:
        """Divide by the token's own rate under every denominator."""
        del by_t
        return super().weigh(region, hidden, by_t=True)

    @torch.no_grad()
    def _rates(self, region: Region, model: Denoiser) -> Float64[Tensor, "B L"]:
        """Turn entropies under the fully hidden response into rates."""
        t, group = self.levels(region), region.group[region.is_response]
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
        rate[region.is_response] = own.clamp(self.eps, 1.0)
        return rate
