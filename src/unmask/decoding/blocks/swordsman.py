"""Swordsman's block rule: blocks that end where the entropy jumps."""

from typing import Annotated

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.blocks.fitted import Fitted
from unmask.decoding.interfaces import BLOCK_RULES
from unmask.decoding.scores import Positive
from unmask.decoding.state import Candidates


@BLOCK_RULES.register("swordsman")
@component
class Swordsman(Fitted):
    """End a block before the first jump of the entropy from one position to the next (Swordsman, after its abstract).

    At the start of a block: with H_i the entropies in the window, in nats, the block ends with the first position i
    with H_{i+1} - H_i > ``jump``; without one it has its usual size. The selection of the same name adapts the
    threshold. No parity with the paper is claimed: its formulas were not published where we could read them.

    Args:
        block_size: the usual size; None is the decoder's.
        window: how far to look, as a share of the canvas.
        jump: kappa; infinity is the rule ``fixed``.
        least: smallest block.

    Differs from the paper: the formula is ours, after the description in the abstract.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    window: Annotated[float, Field(gt=0, le=1)] = 0.25
    jump: Positive = 1.0
    least: Annotated[int, Field(ge=1)] = 4

    def ends(self, candidates: Candidates, window: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """Return the width up to the first jump between neighbours that are both open; 0 where there is none."""
        is_open = candidates.is_open
        entropy = torch.where(is_open, -candidates.measure("entropy"), 0)
        jumps = (entropy[:, 1:] - entropy[:, :-1] > self.jump) & is_open[:, 1:] & is_open[:, :-1]
        width = torch.arange(1, is_open.shape[1], device=is_open.device)
        jumps = jumps & (width >= self.least) & (width < window[:, None])
        return torch.where(jumps.any(1), width[jumps.long().argmax(1)] if len(width) else 0, 0)
