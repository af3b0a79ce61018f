"""What a model reads."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from unmask.attention import AttentionRule, Columns


@dataclass(frozen=True, kw_only=True)
class SoftTokens:
    """Blended embeddings at some columns: the sum of ``weights`` times the embeddings of ``ids``, with gradient.

    Args:
        at: (row, column) of each blended column.
        ids: tokens that are blended there.
        weights: their shares.
    """

    at: Int[Tensor, "M 2"]
    ids: Int[Tensor, "M J"]
    weights: Float[Tensor, "M J"]


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
    """

    ids: Int[Tensor, "R N"]
    columns: Columns
    rule: AttentionRule
    soft: SoftTokens | None = None
    before: Int[Tensor, "R N"] | None = None
