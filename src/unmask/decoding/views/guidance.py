"""Classifier-free guidance: what the prompt changes in the predictions, exaggerated."""

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import Columns
from unmask.core.protocols import Denoiser, Query
from unmask.decoding.defaults import CanvasView
from unmask.decoding.interfaces import VIEWS
from unmask.decoding.state import State


@VIEWS.register("cfg")
@component
class Guidance(CanvasView):
    """Unsupervised classifier-free guidance (LLaDA, arXiv 2502.09992, after Nie et al., arXiv 2410.18514).

    Each row is read twice, the second time with its prompt masked: logits = l_un + (scale + 1)(l - l_un). A forward
    costs twice the rows.

    Args:
        scale: w; 0 is no guidance, and reads each row once.

    Differs from the paper: given tokens within the canvas (infilling) are not masked.
    """

    scale: Annotated[float, Field(ge=0)] = 1.0

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], query_positions: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K2 2"]]:
        """Return the rows with the same rows without their prompts below them; padding stays padding."""
        query, queried = super().query(model, state, rows, query_positions)
        if self.scale == 0:
            return query, queried
        batch = state.batch
        is_prompt = (~batch.is_canvas & ~batch.is_pad)[rows]
        unconditional = torch.where(is_prompt, model.mask_id, query.ids)
        names = ("position", "segment", "block", "stream")
        columns = Columns(**{name: getattr(query.columns, name).repeat(2, 1) for name in names})
        below = torch.stack([queried[:, 0] + len(rows), queried[:, 1]], dim=1)
        ids = torch.cat([query.ids, unconditional])
        return replace(query, ids=ids, columns=columns), torch.cat([queried, below])

    def read(self, logits: Float[Tensor, "K2 V"]) -> Float[Tensor, "K V"]:
        """Return the logits beyond the conditional ones, away from the unconditional ones."""
        if self.scale == 0:
            return logits
        conditional, unconditional = logits.chunk(2)
        guided = unconditional + (self.scale + 1) * (conditional - unconditional)
        # What is impossible without the prompt has no difference to go beyond.
        return torch.where(unconditional == -torch.inf, conditional, guided)
