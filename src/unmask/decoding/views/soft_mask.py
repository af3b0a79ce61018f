"""The view of soft masks: open positions carry what was last predicted for them."""

from dataclasses import replace
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.config.components import component
from unmask.core.protocols import Denoiser, Query, SoftTokens
from unmask.decoding.defaults import CanvasView
from unmask.decoding.interfaces import VIEWS
from unmask.decoding.state import State
from unmask.errors import UserError
from unmask.heads.soft_mask import SoftMask


@VIEWS.register("soft_mask")
@component
class SoftMaskView(CanvasView):
    """Open positions carry what was last predicted for them, blended as in training (arXiv 2510.17206).

    Needs the head ``soft_mask``, which the objective ``soft_masked`` trains. A position that was not predicted yet, or
    that was taken back, is a plain mask.
    """

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], query_positions: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K 2"]]:
        """Return the live rows with blends at the positions that are still open after the last step."""
        query, queried = super().query(model, state, rows, query_positions)
        if state.soft is None:
            return query, queried
        place = torch.full_like(state.batch.order, -1)
        place[rows] = torch.arange(len(rows), device=rows.device)
        row, column = state.soft.query_positions.unbind(1)
        is_kept = state.is_open[row, column] & (place[row] >= 0)
        at_live = torch.stack([place[row], column], dim=1)[is_kept]
        soft = SoftTokens(query_positions=at_live, ids=state.soft.ids[is_kept], weights=state.soft.weights[is_kept])
        return replace(query, soft=soft), queried

    def remember(
        self, model: Denoiser, query_positions: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]
    ) -> SoftTokens | None:
        """Return the blends of this step's predictions.

        Args:
            model: with the head ``soft_mask``.
            query_positions: (batch row, column) of each prediction.
            logits: the predictions at open positions.

        Returns:
            Tokens and their shares, at the same positions.

        Raises:
            UserError: the model has no such head.
        """
        if "soft_mask" not in model.heads:
            raise UserError(
                "the view 'soft_mask' needs a model with the head 'soft_mask', found none; train it with the objective "
                "soft_masked, or use the view 'canvas'"
            )
        ids, weights = cast("SoftMask", model.heads["soft_mask"]).blend(logits, model.mask_id)
        return SoftTokens(query_positions=query_positions, ids=ids, weights=weights)
