"""LLaDA2.1's editing: written tokens that the model would no longer write are replaced."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import RevisionDefaults
from unmask.decoding.interfaces import REVISIONS
from unmask.decoding.scores import Positive
from unmask.decoding.state import Candidates, Change, State


@REVISIONS.register("edit")
@component
class Edit(RevisionDefaults):
    """Replace a written token of the active block where another's probability is above a threshold (LLaDA2.1).

    arXiv 2602.08676: at every step, the positions that the selection chose, and those written ones whose proposal
    differs and has a probability above ``threshold``, take their proposals together. Once the block is full, further
    forwards go on editing until one of them changes nothing. A row ends between blocks only. The report's quality mode
    has the selection ``threshold`` at 0.7 and edits at 0.5, its speed mode 0.5 and 0.

    Args:
        threshold: 0 replaces whatever differs; 1 and above edits nothing, as ``none`` does.
        max_post_steps: most forwards on a full block; edits may go back and forth for ever.

    Differs from the paper: without its editing of earlier blocks, whose procedure is not published.
    """

    threshold: Positive = 0.5
    max_post_steps: Annotated[int, Field(ge=0)] = 16

    selection: ClassVar[str | None] = None
    view: ClassVar[str | None] = None

    @property
    def queries_written(self) -> bool:
        """Whether written positions are queried: not from a threshold of 1 on, as no probability is above it."""
        return self.threshold < 1

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Return the change that writes what was chosen, and over written tokens where another is likely enough."""
        del state
        nothing = torch.zeros_like(chosen)
        if not self.queries_written:
            return Change(write=chosen, hide=nothing)
        differs = candidates.is_queried & ~candidates.is_open & (candidates.token != candidates.written)
        return Change(write=chosen | (differs & (candidates.measure("low_confidence") > self.threshold)), hide=nothing)

    def holds(self, state: State, changed: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return whether each block has open positions, or its last forward changed it and there may be another."""
        if not self.queries_written:
            return torch.zeros_like(changed)
        is_open = state.has_open
        return is_open | (changed & (state.full_steps < self.max_post_steps))
