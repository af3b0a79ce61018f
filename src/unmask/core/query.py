"""What a model reads in one forward pass, and the store of what it has read before."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.core.attention import AttentionRule, Columns


@dataclass(frozen=True, kw_only=True)
class SoftTokens:
    """Blended embeddings at some columns: the sum of ``weights`` times the embeddings of ``ids``, with gradient.

    Args:
        query_positions: (row, column) of each blended column.
        ids: tokens that are blended there.
        weights: their shares.
    """

    query_positions: Int[Tensor, "M 2"]
    ids: Int[Tensor, "M J"]
    weights: Float[Tensor, "M J"]


@runtime_checkable
class Store(Protocol):
    """Keys and values of columns that a model has read: a slot for each (row, column) of the text.

    A forward on a query with a ``Past`` writes those of the query's columns into their slots: empty ones (append) or
    filled ones (overwrite). A slot that nobody may attend to counts for nothing: text is truncated by not showing it.
    """

    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Move the rows ``rows``, in this order, to the front of the store; the others are freed."""
        ...


@dataclass(frozen=True, kw_only=True)
class Past:
    """Text of C columns that was read before, and which of them the query's columns are.

    Args:
        store: keys and values of the text.
        column: column of the text that each of the query's columns is.
        may_attend: which columns of the text each of the query's may attend to; the query's own are among them.
        rows: rows of the store that the query's rows are; None: all of them, in order.
    """

    store: Store
    column: Int[Tensor, "R N"]
    may_attend: Bool[Tensor, "R N C"]
    rows: Int[Tensor, " R"] | None = None

    @cached_property
    def sees_all(self) -> bool:
        """Whether every column may attend to every column of the text."""
        return bool(self.may_attend.all())

    @cached_property
    def begin(self) -> int | None:
        """First column of the text that is read, if all rows read the same consecutive columns; else None."""
        first = self.column[:1, :1]
        ramp = torch.arange(self.column.shape[1], device=self.column.device)
        is_ramp = (self.column == first + ramp).all()
        begin: int = torch.where(is_ramp, first, -1).item()  # type: ignore[assignment]  # one wait for the GPU, not two
        return None if begin < 0 else begin


@dataclass(frozen=True, kw_only=True)
class Query:
    """What the model reads.

    Args:
        ids: tokens.
        columns: position, document, block and stream of each column.
        rule: which columns attend to which.
        soft: embeddings that replace those of ``ids`` at some columns.
        before: the column that stands before each column in its text, from whose state a model with shifted logits
            predicts it; None: the column to the left.
        past: text that was read before, against which the columns are read; None: they are all there is.
    """

    ids: Int[Tensor, "R N"]
    columns: Columns
    rule: AttentionRule
    soft: SoftTokens | None = None
    before: Int[Tensor, "R N"] | None = None
    past: Past | None = None
