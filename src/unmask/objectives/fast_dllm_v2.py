"""Fast-dLLM v2: block diffusion on complementary views of an autoregressive model."""

from dataclasses import replace

from unmask.config.components import component
from unmask.core.reduction import Normaliser
from unmask.objectives.base import OBJECTIVES, Composition
from unmask.objectives.complementary import ComplementaryHide
from unmask.objectives.streams import InStreams


@OBJECTIVES.register("fast_dllm_v2")
@component
class FastDllmV2(InStreams):
    """Supervise every response token exactly once in two complementary views (Fast-dLLM v2, arXiv 2509.26328, Eq. 5).

    In two streams each noisy block sees itself and the clean blocks before it; it draws t ~ U(eps, 1) and m_i ~
    Bernoulli(t); the first view hides m, the second the rest. The loss is the plain mean of CE over the response
    tokens, without 1/t. For models with shifted logits, as all converted autoregressive ones.

    Args:
        block_size: columns of a block, S; None: the model's, else 32.
        t_per: a noise level for each ``block``, or one for all blocks of an ``example``.
        clip: (low, high) of t.
        redraw: draw a block's coins again, up to so many times, until the share that they hide lies within ``clip``.
        normaliser: ``per_masked``: the mean over all response tokens of the batch, both views together.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring blocks and examples.
        first_from: the first token of a block is predicted from the ``clean`` token before it, as in decoding, or from
            the last ``noisy`` token of the block before, as released.
        tail: blocks after the answer's last one are left out.
        hide: what the first view hides.
        weight: what each is worth, a name of ``WEIGHTS`` but ``cart``; None: the weight of ``hide``.

    Differs from the paper: the grid starts at the first response token, at column 0 only if the recipe or the model
    says so (``decoder.grid: text``); ``first_from`` is ``clean``.
    The end of the last block is filled with supervised end-of-text tokens instead of unsupervised mask tokens.
    """

    normaliser: Normaliser = "per_masked"

    def compose(self) -> Composition:
        """Return all blocks in two streams, in two views."""
        one_view = super().compose()
        return replace(one_view, hide=ComplementaryHide(inner=one_view.hide))
