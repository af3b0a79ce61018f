"""Fast-dLLM v2: block diffusion on complementary views of an autoregressive model."""

from typing import Literal

from unmask.canvas import Batch
from unmask.config import part
from unmask.losses import Normaliser
from unmask.objectives.base import OBJECTIVES
from unmask.objectives.block_diffusion import BlockDiffusion
from unmask.objectives.complementary import both_views
from unmask.objectives.stack import stack
from unmask.seeds import Draws
from unmask.types import Denoiser, Noised


@OBJECTIVES.register("fast_dllm_v2")
@part
class FastDllmV2(BlockDiffusion):
    """Supervise every response token exactly once in two complementary views (Fast-dLLM v2, arXiv 2509.26328, Eq. 5).

    Two streams as in ``block_diffusion``; each block draws t ~ U(eps, 1) and m_i ~ Bernoulli(t); the first view hides
    m, the second the rest. The loss is the plain mean of CE over the response tokens, without 1/t. For models with
    shifted logits, as all converted autoregressive ones.

    Args:
        block_size: S; None: the model's, else 32.
        t_per: as in ``block_diffusion``.
        clip: as in ``block_diffusion``.
        redraw: as in ``block_diffusion``.
        normaliser: ``per_masked``: the mean over all response tokens of the batch, both views together.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring blocks and examples.
        first_from: the first token of a block is predicted from the ``clean`` token before it, as in decoding, or from
            the last ``noisy`` token of the block before, as released.
        tail: blocks after the answer's last one are left out.

    Differs from the paper: the grid starts at the first response token, not at column 0; ``first_from`` is ``clean``.
    The end of the last block is filled with supervised end-of-text tokens instead of unsupervised mask tokens.
    """

    normaliser: Normaliser = "per_masked"
    first_from: Literal["clean", "noisy"] = "clean"

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Ask about both views."""
        regions = self.regions(batch, draws=draws, progress=progress)
        return stack(both_views(self, regions, model=model, draws=draws))
