"""The four laws of the E2H Reasoner. N buckets, i = 0 the easiest; p in [0, 1] is the share of the run that is done."""

import math
from typing import Annotated

import torch
from jaxtyping import Float64
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.data.curriculum.base import CURRICULA, Curriculum


@CURRICULA.register("balanced")
@component
class Balanced(Curriculum):
    """All buckets alike, always (E2H Reasoner, arXiv 2506.06632).

    w_i = 1 / N. Unlike plain shuffling it shows small buckets as often as large ones.

    >>> Balanced().weights(torch.tensor([0.0], dtype=torch.float64), 4).tolist()
    [[0.25, 0.25, 0.25, 0.25]]

    Differs from the paper: the law also moves within an optimiser step, by less than 1 / steps.
    """

    def weights(self, progress: Float64[Tensor, " P"], buckets: int) -> Float64[Tensor, "P N"]:
        """Return 1 / N for each of N ``buckets``, [P, N]."""
        return torch.full((len(progress), buckets), 1 / buckets, dtype=torch.float64)


@CURRICULA.register("classic")
@component
class Classic(Curriculum):
    """One bucket after the other, each for the same share of the run (E2H Reasoner, arXiv 2506.06632).

    w_i = 1 where i = min(floor(p N), N - 1), otherwise 0.

    >>> Classic().weights(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), 2).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]

    Differs from the paper: the law also moves within an optimiser step, by less than 1 / steps.
    """

    def weights(self, progress: Float64[Tensor, " P"], buckets: int) -> Float64[Tensor, "P N"]:
        """Return 1 for the bucket whose turn it is at each progress and 0 for the others, [P, N]."""
        # Without the addition (1 / 49) * 49 is less than 1, and a stage would start a position late.
        stage = (progress * buckets + 1e-9).floor().long().clamp(max=buckets - 1)
        return torch.nn.functional.one_hot(stage, buckets).double()


@CURRICULA.register("cosine")
@component
class Cosine(Curriculum):
    """From a ramp down to a ramp up over the buckets, along a cosine (E2H Reasoner, arXiv 2506.06632).

    w_i = a (N - i) / Z + (1 - a) (i + 1) / Z with a = (1 + cos(pi p)) / 2 and Z = N (N + 1) / 2.

    >>> (Cosine().weights(torch.tensor([0.0, 1.0], dtype=torch.float64), 2) * 3).round().tolist()
    [[2.0, 1.0], [1.0, 2.0]]

    Differs from the paper: its code raises the weights to at least 2 / (N (N + 1)). That is 1 / Z, the least value of
    either ramp, so it never changes anything and is left out here.
    """

    def weights(self, progress: Float64[Tensor, " P"], buckets: int) -> Float64[Tensor, "P N"]:
        """Return the blend of the two ramps at each progress, [P, N]."""
        harder = torch.arange(1, buckets + 1, dtype=torch.float64)
        easier = harder.flip(0)
        share = (0.5 * (1 + torch.cos(math.pi * progress)))[:, None]
        return (share * easier + (1 - share) * harder) / harder.sum()


@CURRICULA.register("gaussian")
@component
class Gaussian(Curriculum):
    """A bell over the buckets whose centre moves from the easiest to the hardest (E2H Reasoner, arXiv 2506.06632).

    q_i is proportional to exp(-(i - mu)^2 / (2 sigma^2)) with mu = p^mu_exp (N - 1); w_i = m + (1 - N m) q_i with
    m = 2 / (N (N + 1)) if ``min_prob``, otherwise w_i = q_i.

    Args:
        mu_exp: how the centre moves; below 1 it leaves the easy buckets early.
        sigma: width of the bell, in buckets.
        min_prob: whether every bucket keeps a least probability m.

    Differs from the paper: the law also moves within an optimiser step, by less than 1 / steps.
    """

    mu_exp: Annotated[float, Field(gt=0)] = 0.5
    sigma: Annotated[float, Field(ge=0.01)] = 0.5
    min_prob: bool = True

    def weights(self, progress: Float64[Tensor, " P"], buckets: int) -> Float64[Tensor, "P N"]:
        """Return the bell at each progress, [P, N]; in logarithms, as a narrow one between buckets would be 0 / 0."""
        centre = progress[:, None] ** self.mu_exp * (buckets - 1)
        distance = (torch.arange(buckets, dtype=torch.float64) - centre) / self.sigma
        bell = (-0.5 * distance**2).softmax(1)
        least = 2 / (buckets * (buckets + 1)) if self.min_prob else 0.0
        return least + (1 - buckets * least) * bell
