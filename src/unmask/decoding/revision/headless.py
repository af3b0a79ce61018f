"""What most revisions are: a choice among the model's own predictions, at every step of a block."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.decoding.state import State
from unmask.types import Denoiser


class Headless(ABC):
    """The neutral half of a revision: it reads no head, and is over with its block."""

    head: ClassVar[str | None] = None

    @property
    @abstractmethod
    def asks_written(self) -> bool:
        """Whether the model is asked about the written places of the active block, too."""
        ...

    def observe(self, model: Denoiser, asked: Int[Tensor, "K 2"]) -> None:
        """Nothing to read."""
        del model, asked

    def holds(self, state: State, changed: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Until the block is full, every token of it may be taken back; if any ever is."""
        del changed
        return state.has_open if self.asks_written else torch.zeros_like(state.is_done)
