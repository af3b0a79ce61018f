"""KLASS: positions whose prediction is likely and has stopped moving."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults, share
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import Limit, Positive, in_chunks, top
from unmask.decoding.state import Candidates


@SELECTIONS.register("klass")
@component
class Klass(SelectionDefaults):
    """Write every position that is likely and stable; where none is, the quota's best (KLASS, arXiv 2511.05664).

    Likely: p of the proposal above ``threshold``. Stable: KL(p_t || p_{t-1}) of the position's predictions below
    ``drift``, in nats, in each of the last ``calm`` forwards, so that the first such position comes with forward
    ``calm`` + 1 of a block. The last predictions are kept: a number for each open position and token.

    Args:
        threshold: tau, which must be exceeded; infinity is ``quota``. The paper has .6 to .9, by task.
        drift: epsilon; 0 is ``quota``. The paper has .001 to .015.
        calm: n; 0 does not look at stability.

    Differs from the paper: each block starts anew (the released code knows the divergences of the block's positions
    from before the block was active, and waits n - 1 forwards all the same); counted per row.
    """

    threshold: Limit = 0.9
    drift: Positive = 0.01
    calm: Annotated[int, Field(ge=0)] = 2

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the positions that are likely and stable, or the quota's best in rows without any."""
        is_ready = candidates.is_open & (candidates.score > self.threshold) & self._is_stable(candidates)
        quota = top(candidates.score, candidates.is_open, share(candidates))
        return torch.where(is_ready.any(1, keepdim=True), is_ready, quota)

    def _is_stable(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        queried, memory = candidates.is_queried, candidates.memory
        log_p = torch.cat([chunk.log_softmax(-1) for chunk in in_chunks(candidates.logits)])
        calm = torch.zeros_like(candidates.token)
        before, run = memory.recall("log_p"), memory.recall("calm")
        if before is not None and run is not None:
            # What was not queried at the last forward has nothing to be compared with: -1 in its memory.
            is_known = queried & run[1] & (run[0] >= 0)
            at = is_known[queried]
            is_calm = torch.zeros_like(queried)
            is_calm[is_known] = divergence(log_p[at], before[0][is_known]) < self.drift
            calm = torch.where(is_calm, run[0] + 1, calm)
        memory.keep("log_p", candidates.spread(log_p))
        memory.keep("calm", torch.where(queried, calm, -1))
        return calm >= self.calm


def divergence(log_p: Float[Tensor, "K V"], log_q: Float[Tensor, "K V"]) -> Float[Tensor, " K"]:
    """Return KL(p || q) of each row, nats; a token that p never gives counts nothing.

    Args:
        log_p: log probabilities now.
        log_q: log probabilities before.

    Returns:
        A number for each row.
    """
    chunks = [
        torch.where(p > -torch.inf, p.exp() * (p - q), 0).sum(-1)
        for p, q in zip(in_chunks(log_p), in_chunks(log_q), strict=True)
    ]
    return torch.cat(chunks)
