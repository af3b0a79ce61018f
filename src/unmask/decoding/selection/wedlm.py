"""WeDLM's selection: certain positions near the left first."""

from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import Limit, Positive, top
from unmask.decoding.state import Candidates


@SELECTIONS.register("wedlm")
@component
class WeDlm(SelectionDefaults):
    """Write every position with entropy + slope * distance < threshold, at least the lowest (WeDLM, arXiv 2512.22737).

    Entropy in nats, distance in columns from the block's first open position. WeDLM decodes with this, the block rule
    ``{name: sliding, block_size: 16, longest: 16}`` (a window of 16 columns from the first mask) and the view
    ``reordered``.

    Args:
        threshold: tau, .3 to .6; 0 writes one position a step, which is ``quota`` by entropy if ``slope`` is 0, too.
        slope: lambda, nats a column.

    Differs from the paper: nothing here; the defaults are those of the released evaluation.
    """

    threshold: Limit = 0.4
    slope: Positive = 0.02

    score: ClassVar[str] = "entropy"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the positions whose tilted entropy is below the threshold, and the lowest."""
        is_open = candidates.is_open
        ramp = torch.arange(is_open.shape[1], device=is_open.device)
        distance = (ramp - is_open.long().argmax(1, keepdim=True)).to(candidates.score.dtype)
        # Where the slope is infinite its product with a distance of 0 is to be 0.
        tilt = torch.where(distance > 0, self.slope * distance, 0)
        score = torch.where(is_open, candidates.score - tilt, -torch.inf)
        best = top(score, is_open, torch.ones_like(candidates.block_open))
        return best | (is_open & (score > -self.threshold))
