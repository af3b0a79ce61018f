"""AdaBlock: blocks that end where a step of the text does."""

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.blocks.fitted import Fitted
from unmask.decoding.interfaces import BLOCK_RULES
from unmask.decoding.scores import Positive
from unmask.decoding.state import Candidates


@BLOCK_RULES.register("adablock")
@component
class AdaBlock(Fitted):
    """End a block at the likeliest delimiter that is proposed near its start (AdaBlock-dLLM, arXiv 2509.26432).

    At the start of a block: of the open positions in the window whose proposal is a delimiter, the one with the highest
    probability ends the block, if that is at least ``threshold``; otherwise the block has its usual size. The same
    predictions serve the block's first step.

    Args:
        block_size: the usual size, B0; None is the decoder's.
        window: how far to look, as a share of the canvas.
        threshold: tau_D; infinity is the rule ``fixed``. 0.3 for LLaDA, 0.5 for Dream in the paper.
        delimiters: token ids; None: the tokens with a line break in them (LLaDA: only 198). Without any, blocks have
            their usual size.

    Differs from the paper: rows of a batch cut their own blocks; a block reaches its first open position (infilling).
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    window: Annotated[float, Field(gt=0, le=1)] = 0.25
    threshold: Positive = 0.3
    delimiters: tuple[int, ...] | None = None

    def ends(self, candidates: Candidates, window: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """Return the width up to the likeliest delimiter of the window; 0 where none is likely enough."""
        ids = torch.tensor(list(self.delimiters or ()), dtype=torch.int64, device=candidates.token.device)
        ramp = torch.arange(candidates.token.shape[1], device=ids.device)
        is_end = candidates.is_open & (ramp < window[:, None]) & torch.isin(candidates.token, ids)
        p: Float[Tensor, "R W"] = torch.where(is_end, candidates.measure("low_confidence"), -torch.inf)
        place = p.argmax(1)
        found = p.gather(1, place[:, None]).squeeze(1) >= self.threshold
        return torch.where(found, place + 1, 0)
