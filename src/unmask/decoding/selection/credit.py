"""CreditDecoding: predictions that keep coming back count for more."""

from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import in_chunks
from unmask.decoding.selection.threshold import Threshold
from unmask.decoding.state import MemoryAccess


@SELECTIONS.register("credit")
@component
class Credit(Threshold):
    """Threshold on logits that remember earlier first choices (CreditDecoding, as in dInfer, arXiv 2510.08666).

    Each open position has a credit C for each token, 0 at first. At each forward C becomes ``beta`` C, then the most
    likely token gains p^``gamma``; the logits become logits + ``alpha`` log(1 + C). Tokens and scores both come from
    these. The credits are kept: a number for each open position and token.

    Args:
        threshold: smallest score that is written.
        score: a name of ``unmask.decoding.scores``.
        alpha: weight of the credit; 0 is ``threshold``.
        beta: what is left of a credit at the next forward.
        gamma: power of the probability; smaller lifts unlikely choices.

    Differs from the paper: ties as in ``threshold`` (the released code also writes what is within 1e-5 of the best);
    the mask token gets no credit.
    """

    alpha: Annotated[float, Field(ge=0)] = 0.7
    beta: Annotated[float, Field(ge=0, le=1)] = 0.8
    gamma: Annotated[float, Field(ge=0)] = 0.2

    def fuse(
        self, logits: Float[Tensor, "K V"], *, memory: MemoryAccess, is_queried: Bool[Tensor, "R W"], mask_id: int
    ) -> Float[Tensor, "K V"]:
        """Return the logits with the credits added; the new credits are remembered."""
        if self.alpha == 0:
            return logits
        before = memory.recall("credit")
        credit = torch.zeros_like(logits) if before is None else self.beta * before[0][is_queried].to(logits.dtype)
        first, p = likeliest(logits, mask_id)
        credit.scatter_add_(1, first[:, None], p[:, None] ** self.gamma)
        whole = credit.new_zeros(*is_queried.shape, logits.shape[1])
        whole[is_queried] = credit
        memory.keep("credit", whole)
        return logits + self.alpha * credit.log1p_()


def likeliest(logits: Float[Tensor, "K V"], mask_id: int) -> tuple[Tensor, Float[Tensor, " K"]]:
    """Return the most likely token of each row but the mask token, and its probability."""
    is_mask = torch.arange(logits.shape[1], device=logits.device) == mask_id
    found = [chunk.softmax(-1).masked_fill(is_mask, -1).max(-1) for chunk in in_chunks(logits)]
    return torch.cat([each.indices for each in found]), torch.cat([each.values for each in found])
