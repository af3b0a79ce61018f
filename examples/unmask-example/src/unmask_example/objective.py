"""An objective: which tokens are hidden, and what each is worth."""

from typing import Annotated

import torch
from pydantic import Field

from unmask.config import component
from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, Noised
from unmask.core.random import Draws
from unmask.objectives import OBJECTIVES, WeightedLikelihood


@OBJECTIVES.register("fixed_rate")
@component
class FixedRate(WeightedLikelihood):
    """Hide every answer token with the same probability, in every example.

    The loss is the mean over the canvas of an example, estimated from its hidden tokens, and then over examples.

    Args:
        rate: probability that a token is hidden.

    Source: unpublished
    """

    rate: Annotated[float, Field(gt=0, le=1)] = 0.5

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return what the model reads, which positions it predicts, and their targets and weights."""
        del progress  # share of the run that is done, for methods that change over the run
        # A coin for each column, by the example and the column: never by how the batch happens to be laid out.
        coin = draws.uniform("mask", batch.spread(batch.order), batch.offset)
        is_hidden = batch.is_canvas & (coin < self.rate)
        example = batch.owner[is_hidden]
        weight = 1 / (self.rate * batch.canvas_length[example].float())
        return Noised(
            query=batch.query(torch.where(is_hidden, model.mask_id, batch.ids), model.rule),
            query_positions=is_hidden.nonzero(),
            targets=batch.ids[is_hidden],
            weight=weight,
            count=torch.tensor(float(len(batch.order)), device=weight.device),
            example=example,
            noise_level=torch.full_like(weight, self.rate),
            group=example,
        )
