"""No cache."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import CACHES, Reader
from unmask.decoding.caching.even import cut, groups
from unmask.decoding.state import State
from unmask.types import Denoiser, Query


@CACHES.register("none")
@part
class NoCache:
    """Every step reads everything. Exact, for every model.

    On a CPU, rows of a batch whose lengths differ much are read in groups: a step is then several forwards.
    """

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
        """Call the model, once for each group of rows of nearly one length."""
        del state, rows
        split = groups(self.model, query)
        self.forwards += len(split)
        if len(split) == 1:
            return self.model.logits(query, at)
        found = [(self.model.logits(part, asked), mine) for part, asked, mine in cut(query, at, split)]
        logits = found[0][0].new_empty(len(at), found[0][0].shape[1])
        for answers, mine in found:
            logits[mine] = answers
        return logits
