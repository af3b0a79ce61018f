"""Who may attend to whom: each rule is written once, as a predicate on a (query column, key column) pair.

The models materialise it in whatever form their backend needs; caches evaluate it for a few query columns only.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Int
from torch import Tensor

PAD = -1
OPEN, CLEAN, ANCHORED, SHADOW = 0, 1, 2, 3
"""Streams: text that may still change, fixed context (a prompt, finished blocks, a clean copy), anchored blocks, and
shadows of columns."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a rule may know about each column that the model reads.

    Args:
        position: index of the token in its text; the model's rotary position.
        segment: the document (packing) that the column belongs to; ``PAD`` for padding.
        block: block of the decoder's grid, -1 in the prompt; anchored columns keep their anchor's position here.
        stream: ``OPEN``, ``CLEAN``, ``ANCHORED`` or ``SHADOW``.
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


@runtime_checkable
class AttentionRule(Protocol):
    """A frozen value that says which key columns a query column may attend to within its document."""

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Return whether each query column may see each key column; columns are broadcastable and of one document."""
        ...


def may_attend(rule: AttentionRule, q: Columns, k: Columns) -> Bool[Tensor, "R Q K"]:
    """Return a rule as a dense mask, [R, Q, K]. Nobody attends across documents; padding attends to padding only.

    Args:
        rule: decides within a document.
        q: ``[R, Q]`` query columns.
        k: ``[R, K]`` key columns.

    Returns:
        Whether each query column may attend to each key column.
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
        """Return True for every pair within a document."""
        return q.segment == k.segment


BIDIRECTIONAL = Bidirectional()


@dataclass(frozen=True)
class BlockCausal:
    """A block sees itself and earlier blocks (BD3LM, SDAR). Blocks are counted from the answer; the prompt is block -1.

    A prompt column and two blocks of two::

        1 0 0 0 0
        1 1 1 0 0
        1 1 1 0 0
        1 1 1 1 1
        1 1 1 1 1

    Args:
        grid: size of blocks that are counted from the start of the text instead, prompt included (SDAR as released).
    """

    grid: int | None = None

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Return whether the key column's block is the query column's own or an earlier one."""
        return k.block <= q.block


Grid = Literal["answer", "text"]
"""Where blocks are counted from: the first answer token, or the first token of all."""

LastBlock = Literal["whole", "cut"]
"""The last block of a canvas that is no multiple of the block size: decoded whole and cut afterwards, or shorter."""

Attention = Literal["bidirectional", "block_causal", "context_causal", "causal"]
"""How a model attends in plain text: what a checkpoint says of itself, and what training may change."""
