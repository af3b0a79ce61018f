"""SDLM's view: after a causal text, a window that repeats its last token."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import ANCHORED, CLEAN, PAD, Columns
from unmask.core.attention_rules import Anchored
from unmask.core.protocols import Denoiser, Query
from unmask.decoding.defaults import CanvasView
from unmask.decoding.interfaces import VIEWS
from unmask.decoding.state import State


@VIEWS.register("anchored")
@component
class AnchoredView(CanvasView):
    """The model reads what the objective ``sdlm`` trains it on (SDLM, arXiv 2509.24007).

    The text up to the first queried column stands once, causal. Its last token x_q stands again, at the same position,
    and begins a window: x_q and D - 1 masks (one more for models without shifted logits) that see each other and the
    text before q. The window always has its D columns, across the end of a block and of the canvas. No cache can be
    used.

    SDLM's decoding is this with the selection ``prefix`` and ``blocks: sliding``, D the block size: the predictions are
    those of training. What other selections, or infilling, have written inside the window stands there; what was given
    behind it is not seen. A checkpoint does not tell that it was trained so: the view has to be named.

    Args:
        block_size: D; None is the decoder's block size. A longer block makes the window longer.
        causal_blocks: inside the window, too, see only what stands before; as the objective was set in training.

    Differs from the paper: reads the text again at every forward, where it is causal and could be kept.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    causal_blocks: bool = False

    lays_out: ClassVar[bool] = True

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], query_positions: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K 2"]]:
        """Return text, window, and the column after it, at which a shifted model may be queried."""
        batch, row = state.batch, query_positions[:, 0]
        end = state.prompt_length[rows] + state.block_end[rows]
        first = end.scatter_reduce(0, row, query_positions[:, 1], "amin")
        depth = (end - first).clamp(min=self.block_size or batch.block_size)
        # A row holds one text, so that its columns are its positions.
        ramp = torch.arange(int(depth.max()) + 1, device=rows.device)
        column = (first - 1)[:, None] + ramp
        is_window = (ramp < (depth + (not model.shift))[:, None]) & (column >= 0)
        text = torch.arange(max(int(first.max()), 1), device=rows.device).expand(len(rows), -1)
        is_seen = text < first[:, None]

        def joined(of_text: Tensor, of_window: Tensor) -> Tensor:
            return torch.cat([of_text, of_window], dim=1)

        owner = batch.owner[rows].amax(1, keepdim=True)
        columns = Columns(
            position=joined(torch.where(is_seen, text, 0), torch.where(is_window, column, 0)),
            segment=joined(torch.where(is_seen, owner, PAD), torch.where(is_window, owner, PAD)),
            block=joined(batch.block[rows[:, None], text], column[:, :1].expand_as(column)),
            stream=joined(torch.full_like(text, CLEAN), torch.full_like(column, ANCHORED)),
        )
        inside = column.clamp(min=0, max=batch.ids.shape[1] - 1)
        is_mask = (column != inside) | batch.is_pad[rows[:, None], inside] | state.is_open[rows[:, None], inside]
        window = torch.where(is_mask, model.mask_id, state.ids[rows[:, None], inside])
        ids = joined(state.ids[rows[:, None], text], window)
        queried = torch.stack([row, query_positions[:, 1] - first[row] + 1 + text.shape[1]], dim=1)
        before = _before(ids, first, text.shape[1]) if model.shift and bool((first == 0).any()) else None
        return Query(ids=ids, columns=columns, rule=Anchored(self.causal_blocks), before=before), queried


def _before(ids: Int[Tensor, "R N"], first: Int[Tensor, " R"], start: int) -> Int[Tensor, "R N"]:
    """Return the column to the left; a text that begins with the window has none: its first column is its own."""
    before = (torch.arange(ids.shape[1], device=ids.device) - 1).clamp(min=0).repeat(len(ids), 1)
    before[first == 0, start + 1] = start + 1
    return before
