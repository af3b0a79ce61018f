"""Block diffusion: autoregressive over blocks, masked diffusion inside, all blocks in one pass."""

from unmask.config.components import component
from unmask.objectives.base import OBJECTIVES
from unmask.objectives.streams import InStreams


@OBJECTIVES.register("block_diffusion")
@component
class BlockDiffusion(InStreams):
    """Read ``[x_0 ; x_t]`` once: each noisy block sees itself and the clean blocks before it (BD3LM, arXiv 2503.09573).

    Each block of the response draws t ~ U(low, high) and hides its tokens with probability t; the loss is the sum over
    blocks of CE_i / t (Eq. 8 with the linear schedule), divided as ``normaliser`` says. Equal to a loop over (clean
    prefix, noisy block). The trained model is block-causal and decodes with an exact block cache. SDAR (arXiv
    2510.06303) is ``t_per: example`` with ``normaliser: per_token``.

    Args:
        block_size: columns of a block, S; None: the model's, else 32.
        t_per: a noise level for each ``block``, or one for all blocks of an ``example`` (SDAR, dllm).
        clip: (low, high) of t; narrow intervals lower the variance (BD3LM: .45 to .95 for blocks of 4, .3 to .8 for
            16).
        redraw: draw a block's coins again, up to so many times, until the share that they hide lies within ``clip``.
        normaliser: the denominator; ``fixed_length`` is BD3LM's, ``per_token`` SDAR's.
        eps: smallest noise level where ``clip`` starts at 0.
        stratified: spread t evenly over neighbouring blocks and examples.
        first_from: the state from which a shifted model predicts the first token of a block: the ``clean`` token before
            it, as in decoding with a cache, or the ``noisy`` one.
        tail: blocks after the answer's last one are left out.
        hide: which tokens of a block are hidden, a name of ``HIDES``; None: each with probability t.
        weight: what each is worth, a name of ``WEIGHTS`` but ``cart``; None: the weight of ``hide``.

    Differs from the paper: the prompt is clean context and stands in one stream only, but for those of its tokens that
    the first block of the response holds where blocks are counted from the start of the text. By default they are
    counted from the first response token. The likelihood is the full softmax, mask token included. The clip is chosen
    by hand, not searched for during training.
    """
