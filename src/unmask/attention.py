"""Who may attend to whom: each rule is written once, as a predicate on a (query column, key column) pair.

The models materialise it in whatever form their backend needs; caches evaluate it for a few query columns only.
"""

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Bool, Int
from torch import Tensor

PAD = -1


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a rule may know about each column that the model reads.

    Args:
        position: index of the token in its text; the model's rotary position.
        segment: the document (packing) that the column belongs to; ``PAD`` for padding.
        block: block of the decoder's grid, -1 in the prompt; rules with anchors keep the anchor's position here.
        stream: 0 for the text; further streams (a clean copy, shadow or anchored columns) have numbers of their own.
    """

    position: Int[Tensor, "*shape"]
    segment: Int[Tensor, "*shape"]
    block: Int[Tensor, "*shape"]
    stream: Int[Tensor, "*shape"]

    def __getitem__(self, index: object) -> "Columns":
        return Columns(
            position=self.position[index],  # type: ignore[index]  # any index that a tensor takes
            segment=self.segment[index],  # type: ignore[index]
            block=self.block[index],  # type: ignore[index]
            stream=self.stream[index],  # type: ignore[index]
        )


class AttentionRule(Protocol):
    """A frozen value that says which key columns a query column may attend to within its document."""

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Decide for broadcastable columns of one document."""
        ...


def may_attend(rule: AttentionRule, q: Columns, k: Columns) -> Bool[Tensor, "R Q K"]:
    """Materialise a rule densely. Nobody attends across documents; padding attends to padding, and only there.

    Args:
        rule: decides within a document.
        q: ``[R, Q]`` query columns.
        k: ``[R, K]`` key columns.
    """
    q, k = q[:, :, None], k[:, None, :]
    same = q.segment == k.segment
    return same & (rule.allows(q, k) | (q.segment == PAD))


@dataclass(frozen=True)
class Bidirectional:
    """Everyone sees everyone (LLaDA, Dream).

    Three columns::

        1 1 1
        1 1 1
        1 1 1
    """

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Always."""
        return q.segment == k.segment


BIDIRECTIONAL = Bidirectional()


@dataclass(frozen=True)
class Causal:
    """Everyone sees the past and itself (autoregressive models).

    Three columns::

        1 0 0
        1 1 0
        1 1 1
    """

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Up to the own position."""
        return k.position <= q.position


@dataclass(frozen=True)
class BlockCausal:
    """A block sees itself and earlier blocks; the prompt is block -1 (SDAR, BD3LM with a response-anchored grid).

    A prompt column and two blocks of two::

        1 0 0 0 0
        1 1 1 0 0
        1 1 1 0 0
        1 1 1 1 1
        1 1 1 1 1
    """

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Up to the own block."""
        return k.block <= q.block
