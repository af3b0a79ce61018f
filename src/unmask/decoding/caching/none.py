"""No cache."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import CACHES, Reader
from unmask.decoding.state import State
from unmask.types import Denoiser, Query


@CACHES.register("none")
@part
class NoCache:
    """Every forward reads everything. Exact, for every model."""

    is_exact: ClassVar[bool] = True

    def open(self, model: Denoiser) -> Reader:
        """Nothing is remembered."""
        return PlainReader(model)


class PlainReader:
    """Reads the query as it is."""

    def __init__(self, model: Denoiser) -> None:
        self.model = model
        self.forwards = 0

    def logits(
        self, query: Query, at: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Call the model."""
        del state, rows
        self.forwards += 1
        return self.model.logits(query, at)
