"""WINO's view: written positions, read as if they were open."""

from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import PAD, SHADOW, Columns
from unmask.core.attention_rules import Shadowed
from unmask.core.protocols import Denoiser, Query
from unmask.decoding.defaults import CanvasView
from unmask.decoding.interfaces import VIEWS
from unmask.decoding.state import State
from unmask.errors import UserError


@VIEWS.register("shadow")
@component
class ShadowView(CanvasView):
    """Beside the canvas stand masks at the positions of the active block, which the canvas does not see (WINO).

    arXiv 2507.18578: the shadow of a column sees the canvas but for that column, and the other shadows. Written
    positions that a revision queries are queried at their shadows, which have not read the token that stands there
    (what it did to the columns around it, they have). Costs a block of columns more, and no cache can be used; where
    nothing written is queried, it is ``canvas``.

    Differs from the paper: nothing.
    """

    lays_out: ClassVar[bool] = True

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], query_positions: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K 2"]]:
        """Return the live rows with the shadows after them; written positions are queried at their shadows.

        Args:
            model: predicts a column from its own state.
            state: what is written so far.
            rows: live rows of the state.
            query_positions: (live row, column) of the positions to predict.

        Returns:
            The query, and the (row, column) of it to predict.

        Raises:
            UserError: the model predicts a column from the one before it, which shows what the shadow hides.
        """
        query, queried = super().query(model, state, rows, query_positions)
        is_written = ~state.is_open[rows[query_positions[:, 0]], query_positions[:, 1]]
        if not bool(is_written.any()):
            return query, queried
        if model.shift:
            raise UserError(
                "the view 'shadow': expected a model that predicts a column from its own state, found one with shifted "
                "logits; use another revision ('saber', 'remdm')"
            )
        begin = state.prompt_length[rows] + state.block_start[rows]
        width = (state.block_end - state.block_start)[rows]
        ramp = torch.arange(int(width.max()), device=rows.device)
        column = (begin[:, None] + ramp).clamp(max=query.ids.shape[1] - 1)
        text = query.columns

        def joined(of_text: Tensor, of_shadows: Tensor) -> Tensor:
            return torch.cat([of_text, of_shadows], dim=1)

        columns = Columns(
            position=joined(text.position, text.position.gather(1, column)),
            segment=joined(text.segment, torch.where(ramp < width[:, None], text.segment.gather(1, column), PAD)),
            block=joined(text.block, text.block.gather(1, column)),
            stream=joined(text.stream, torch.full_like(column, SHADOW)),
        )
        ids = joined(query.ids, torch.full_like(column, model.mask_id))
        shadow = query_positions[:, 1] - begin[query_positions[:, 0]] + query.ids.shape[1]
        queried = torch.stack([query_positions[:, 0], torch.where(is_written, shadow, query_positions[:, 1])], dim=1)
        return replace(query, ids=ids, columns=columns, rule=Shadowed(query.rule)), queried
