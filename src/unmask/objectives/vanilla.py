"""Vanilla masked-diffusion fine-tuning: hide answer tokens anywhere, restore them."""

from unmask.config.components import component
from unmask.objectives.base import OBJECTIVES
from unmask.objectives.masking import Masking


@OBJECTIVES.register("vanilla")
@component
class Vanilla(Masking):
    """Hide each answer token with probability t; weigh its loss by 1/t (LLaDA, arXiv 2502.09992, Eq. 5).

    t ~ U(eps, 1) per example; m_i ~ Bernoulli(t) on the response, never on the prompt;
    loss = sum over masked i of CE_i / t, divided as ``normaliser`` says. These are the components of every ``Masking``
    that says nothing else: ``Response``, ``UniformHide``, ``Weight``, ``Schedule``, ``Reduce``.

    Args:
        normaliser: the denominator, by the names of ``unmask.core.reduction``.
        eps: smallest noise level; 1/eps bounds the weight.
        stratified: spread t evenly over neighbouring examples (lower variance, same expectation).
        tail: ``supervised``: the filler through the whole canvas is part of the response, as in LLaDA, because
            full-canvas decoding has to write it; ``hidden``: columns after the answer's last block stay masked and
            are never queried.
        hide: another choice of what is hidden: ``lift``, ``gift``, ``complementary``.
        weight: another worth of each token: ``cart``, ``papl``, ``cap``.

    Differs from the paper: the canvas is a property of the example, not of the batch it falls into (LLaDA pads to
    the longest neighbour); t is stratified unless told otherwise.
    """
