"""Open places that carry what was last predicted for them."""

from dataclasses import replace
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.config.components import part
from unmask.core.protocols import Denoiser, Query, SoftTokens
from unmask.decoding.defaults import CanvasView
from unmask.decoding.interfaces import VIEWS
from unmask.decoding.state import State
from unmask.errors import UserError
from unmask.heads.soft_mask import SoftMask


@VIEWS.register("soft_mask")
@part
class SoftMaskView(CanvasView):
    """Open places carry what was last predicted for them, blended as in training (arXiv 2510.17206).

    Needs the head ``soft_mask``, which the objective ``soft_masked`` trains. A place that was not predicted yet, or
    that was taken back, is a plain mask.
    """

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], at: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K 2"]]:
        """Blend at the places that are still open after the last step."""
        query, asked = super().query(model, state, rows, at)
        if state.soft is None:
            return query, asked
        place = torch.full_like(state.batch.order, -1)
        place[rows] = torch.arange(len(rows), device=rows.device)
        row, column = state.soft.at.unbind(1)
        is_kept = state.is_open[row, column] & (place[row] >= 0)
        at_live = torch.stack([place[row], column], dim=1)[is_kept]
        soft = SoftTokens(at=at_live, ids=state.soft.ids[is_kept], weights=state.soft.weights[is_kept])
        return replace(query, soft=soft), asked

    def remember(self, model: Denoiser, at: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]) -> SoftTokens | None:
        """Keep the blends of this step's predictions.

        Raises:
            UserError: the model has no such head.
        """
        if "soft_mask" not in model.heads:
            raise UserError(
                "the view 'soft_mask' needs a model with the head 'soft_mask', found none; train it with the objective "
                "soft_masked, or use the view 'canvas'"
            )
        ids, weights = cast("SoftMask", model.heads["soft_mask"]).blend(logits, model.mask_id)
        return SoftTokens(at=at, ids=ids, weights=weights)
