"""The plain view: the canvas as it stands."""

from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.attention import CLEAN, OPEN
from unmask.config import part
from unmask.decoding.base import VIEWS
from unmask.decoding.state import State
from unmask.types import Denoiser, Query, SoftTokens


@VIEWS.register("canvas")
@part
class CanvasView:
    """The model reads the live rows whole: prompt, written tokens, masks to the end of the canvas."""

    lays_out: ClassVar[bool] = False

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], at: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K 2"]]:
        """Select the live rows; what stands before the active block is settled, in whole blocks of the model's grid.

        A block that began within one of these (a window that slides, a cut) must go on seeing what is written there.
        """
        whole = state.batch.query(state.ids, model.rule)
        block = whole.columns.block
        first = (state.prompt_length + state.block_start).clamp(max=block.shape[1] - 1)
        is_settled = (block < block.gather(1, first[:, None])) & ~state.batch.is_pad
        whole = replace(whole, columns=replace(whole.columns, stream=torch.where(is_settled, CLEAN, OPEN)))
        return replace(whole, ids=whole.ids[rows], columns=whole.columns[rows]), at

    def read(self, logits: Float[Tensor, "K V"]) -> Float[Tensor, "K V"]:
        """Nothing to reduce."""
        return logits

    def remember(self, model: Denoiser, at: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]) -> SoftTokens | None:
        """Nothing."""
        del model, at, logits
        return None
