"""One builder of rows for training and decoding alike: prompt; answer and one end-of-turn token; filler; hidden tail.

A row is the prompt and, anchored at its end, a *canvas* cut into blocks of the decoder's size. In training the canvas
holds the answer (which ends with its end-of-turn token), then end-of-text filler up to the block boundary, then a tail
of further blocks so that the length of the canvas does not give the length of the answer away; layouts may choose
another tail by name (``unmask.config.defaults.Rows``). In decoding the canvas is all there is to fill:
``max_new_tokens`` columns.

Blocks are counted from the first answer token (grid ``answer``) or from the first token of the text (grid ``text``). On
the text grid the prompt's last columns may stand in the first block of the answer, its *lead*, which is then shorter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from unmask.core.attention import BIDIRECTIONAL, CLEAN, OPEN, PAD, AttentionRule, Columns, Grid
from unmask.core.packing import pack
from unmask.core.query import Query


@dataclass(frozen=True, kw_only=True)
class Example:
    """One prompt and its answer as tokens.

    Args:
        prompt: clean context; never corrupted.
        answer: what the model learns to write, with its end-of-turn token; empty in decoding.
        order: index of the example in the global order of the run; the key of its random numbers.
        canvas: columns reserved for the answer, filler and tail.
        surplus: columns at the end of the canvas that only complete its last block: decoded, and cut off afterwards.
    """

    prompt: Sequence[int]
    answer: Sequence[int]
    order: int
    canvas: int
    surplus: int = 0

    @property
    def columns(self) -> int:
        """Number of columns that the example takes: prompt and canvas."""
        return len(self.prompt) + self.canvas


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Clean text of E examples laid out in B rows of L columns. Padding is known by ``owner``, never by token.

    Args:
        ids: prompt, answer, then filler through the whole canvas.
        position: index within the example.
        owner: which example a column belongs to; ``PAD`` for padding.
        offset: column of the canvas, counted from the first answer token; -1 elsewhere.
        order: index of each example in the global order of the run.
        text_length: answer tokens, the end-of-turn token included.
        filled_length: ``text_length`` up to the next block boundary, at most the canvas.
        canvas_length: columns of the canvas.
        wanted_length: columns of the canvas without those that only complete its last block and are cut off.
        block_size: of the decoder, columns.
        grid: where blocks are counted from: the first ``answer`` token, or the first token of the ``text``.
    """

    ids: Int[Tensor, "B L"]
    position: Int[Tensor, "B L"]
    owner: Int[Tensor, "B L"]
    offset: Int[Tensor, "B L"]
    order: Int[Tensor, " E"]
    text_length: Int[Tensor, " E"]
    filled_length: Int[Tensor, " E"]
    canvas_length: Int[Tensor, " E"]
    wanted_length: Int[Tensor, " E"]
    block_size: int
    grid: Grid = "answer"

    def spread(self, values: Shaped[Tensor, " E"]) -> Shaped[Tensor, "B L"]:
        """Return for every column the value of its example, [B, L]; padding gets that of example 0: mask it."""
        return values[self.owner.clamp(min=0)]

    @property
    def is_pad(self) -> Bool[Tensor, "B L"]:
        """Whether each column belongs to no example."""
        return self.owner == PAD

    @property
    def is_canvas(self) -> Bool[Tensor, "B L"]:
        """Whether each column is part of a canvas: what decoding would have to fill."""
        return self.offset >= 0

    @property
    def is_wanted(self) -> Bool[Tensor, "B L"]:
        """Whether each column is part of a canvas, and not of the surplus that is cut off after decoding."""
        return self.is_canvas & (self.offset < self.spread(self.wanted_length))

    @property
    def is_text(self) -> Bool[Tensor, "B L"]:
        """Whether each column holds an answer token or the answer's end-of-turn token."""
        return self.is_canvas & (self.offset < self.spread(self.text_length))

    @property
    def is_filled(self) -> Bool[Tensor, "B L"]:
        """Whether each column holds answer, end-of-turn token, or filler up to the block boundary."""
        return self.is_canvas & (self.offset < self.spread(self.filled_length))

    @property
    def block(self) -> Int[Tensor, "B L"]:
        """Block of each canvas column, the first one being 0; -1 in the prompt and in padding."""
        if self.grid == "answer":
            return torch.where(self.is_canvas, self.offset // self.block_size, -1)
        lead = (self.position - self.offset) % self.block_size
        return torch.where(self.is_canvas, (self.offset + lead) // self.block_size, -1)

    @property
    def grid_block(self) -> Int[Tensor, "B L"]:
        """Block of each column by which attention rules compare columns.

        On the grid ``answer`` this is ``block``; on the grid ``text`` the prompt has blocks, too, and its first is 0.
        Padding has -1.
        """
        return self.block if self.grid == "answer" else self._of_text(self.block_size)

    @property
    def lead(self) -> Int[Tensor, " E"]:
        """Number of prompt columns that stand in the first block of each example's answer; 0 on the grid ``answer``."""
        return torch.zeros_like(self.order) if self.grid == "answer" else self._prompt_length % self.block_size

    @property
    def is_lead(self) -> Bool[Tensor, "B L"]:
        """Whether each column is a prompt column that stands in the first block of its answer."""
        if self.grid == "answer":
            return torch.zeros_like(self.is_canvas)
        lead = self.lead
        is_last = self.position >= self.spread(self._prompt_length - lead)
        return ~self.is_canvas & ~self.is_pad & is_last & (self.spread(lead) > 0)

    @property
    def _prompt_length(self) -> Int[Tensor, " E"]:
        """Return the number of prompt tokens of each example that has a canvas."""
        first = torch.where(self.offset == 0, self.position, 0).flatten()
        return torch.zeros_like(self.order).scatter_add(0, self.owner.clamp(min=0).flatten(), first)

    def query(
        self,
        ids: Int[Tensor, "B L"],
        rule: AttentionRule = BIDIRECTIONAL,
        *,
        is_context: Bool[Tensor, "B L"] | None = None,
    ) -> Query:
        """Return what a model reads of these rows with ``ids`` as tokens, in training and in decoding.

        Args:
            ids: clean, noised or partly written tokens.
            rule: who may attend to whom.
            is_context: columns that will not change any more; None: the prompts. Rules that tell a clean context from
                the active block (``context_causal``) need it.

        Returns:
            A query about all rows, without soft tokens or past.
        """
        is_context = ~self.is_canvas if is_context is None else is_context
        columns = Columns(
            position=self.position,
            segment=self.owner,
            block=self._grid(rule),
            stream=torch.where(is_context, CLEAN, OPEN),
        )
        return Query(ids=ids, columns=columns, rule=rule, before=self._before)

    def _grid(self, rule: AttentionRule) -> Int[Tensor, "B L"]:
        """Return the index of the block of each column, as the rule counts blocks."""
        size: int | None = getattr(rule, "grid", None)
        return self.grid_block if size is None else self._of_text(size)

    def _of_text(self, size: int) -> Int[Tensor, "B L"]:
        """Return the index of the block of each column, counted from the first token of its text; -1 in padding."""
        return torch.where(self.is_pad, -1, self.position // size)

    @property
    def _before(self) -> Int[Tensor, "B L"] | None:
        """Return the column before each in its text (no document is predicted from its left neighbour), or None."""
        if not bool((self.is_canvas & (self.position == 0))[:, 1:].any()):
            return None
        column = torch.arange(self.ids.shape[1], device=self.ids.device).expand_as(self.ids)
        return column - (self.position > 0).long()

    def rows(self, index: Int[Tensor, " R"]) -> "Batch":
        """Return the batch of rows ``index``, in that order; examples keep their numbers."""
        return replace(self, **{name: getattr(self, name)[index] for name in _BY_COLUMN})

    def only(self, wanted: Int[Tensor, " E2"]) -> "Batch":
        """Return the batch of examples ``wanted``, renumbered in that order, without others' columns and empty rows."""
        renumbered = torch.full_like(self.order, PAD)
        renumbered[wanted] = torch.arange(len(wanted), device=wanted.device)
        owner = torch.where(self.is_pad, PAD, self.spread(renumbered))
        keep = (owner != PAD).any(1).nonzero().squeeze(1)
        column, is_real = compress(owner[keep] != PAD)
        by_column = {name: getattr(self, name)[keep].gather(1, column) for name in _BY_COLUMN}
        by_column["owner"] = torch.where(is_real, owner[keep].gather(1, column), PAD)
        by_column["offset"] = torch.where(is_real, by_column["offset"], -1)
        return replace(self, **by_column, **{name: getattr(self, name)[wanted] for name in _BY_EXAMPLE})

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch with every tensor on ``device``."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {k: v.to(device) for k, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **moved)


_BY_COLUMN = ("ids", "position", "owner", "offset")
_BY_EXAMPLE = ("order", "text_length", "filled_length", "canvas_length", "wanted_length")


def compress(is_wanted: Bool[Tensor, "B L"]) -> tuple[Int[Tensor, "B W"], Bool[Tensor, "B W"]]:
    """Return the columns to take to move the wanted ones of each row left, and which of these are real, [B, W]."""
    width = max(int(is_wanted.sum(1).max()), 1)
    column = (~is_wanted).long().argsort(dim=1, stable=True)[:, :width]
    return column, is_wanted.gather(1, column)


def fill_to_block(length: int, block_size: int) -> int:
    """Return ``length`` rounded up to a multiple of ``block_size``.

    >>> fill_to_block(9, 4)
    12
    """
    return math.ceil(length / block_size) * block_size


def fill_canvas(answer: int, block_size: int, *, prompt: int = 0, grid: Grid = "answer") -> int:
    """Return how many columns an answer takes up to the end of its last block.

    Args:
        answer: its tokens.
        block_size: columns of a block.
        prompt: tokens before the answer; they count on the grid ``text`` only.
        grid: where blocks are counted from.

    Returns:
        Columns, the prompt's not included.

    >>> fill_canvas(5, 4), fill_canvas(5, 4, prompt=6, grid="text")
    (8, 6)
    """
    lead = prompt % block_size if grid == "text" else 0
    return fill_to_block(lead + answer, block_size) - lead


def lay_out(
    examples: Sequence[Example],
    *,
    block_size: int,
    filler_id: int,
    row_length: int | None = None,
    cycle: Sequence[int] = (),
    grid: Grid = "answer",
) -> Batch:
    """Return examples laid out left-aligned and padded on the right: one a row, or packed.

    Args:
        examples: their canvases must hold their answers.
        block_size: of the decoder, columns.
        filler_id: end-of-text token after the end-of-turn token, also put under padding (where nobody sees it).
        row_length: pack several examples into rows of this length (or of the longest example). None attends to
            another, and positions restart.
        cycle: tokens that fill each canvas in turn from the end of its answer on, instead of ``filler_id``.
        grid: where blocks are counted from: the first ``answer`` token, or the first token of the ``text``.

    Returns:
        The batch, on the CPU.

    Raises:
        ValueError: an answer is longer than its canvas.
    """
    sizes = [example.columns for example in examples]
    rows = [[e] for e in range(len(sizes))] if row_length is None else pack(sizes, row_length)
    columns = max(sum(sizes[e] for e in row) for row in rows)
    ids = torch.full((len(rows), columns), filler_id)
    position = torch.zeros((len(rows), columns), dtype=torch.int64)
    owner = torch.full((len(rows), columns), PAD)
    offset = torch.full((len(rows), columns), -1)
    for row, members in enumerate(rows):
        begin = 0
        for index in members:
            e = examples[index]
            start, text, end = begin + len(e.prompt), begin + len(e.prompt) + len(e.answer), begin + e.columns
            if text > end:
                raise ValueError(f"an answer of {len(e.answer)} tokens does not fit a canvas of {e.canvas}")
            ids[row, begin:text] = torch.tensor([*e.prompt, *e.answer], dtype=torch.int64)
            if cycle:
                ids[row, text:end] = torch.tensor(cycle).repeat(math.ceil((end - text) / len(cycle)))[: end - text]
            position[row, begin:end] = torch.arange(e.columns)
            owner[row, begin:end] = index
            offset[row, start:end] = torch.arange(e.canvas)
            begin = end
    return Batch(
        ids=ids,
        position=position,
        owner=owner,
        offset=offset,
        order=torch.tensor([e.order for e in examples]),
        text_length=torch.tensor([len(e.answer) for e in examples]),
        filled_length=torch.tensor(
            [min(fill_canvas(len(e.answer), block_size, prompt=len(e.prompt), grid=grid), e.canvas) for e in examples]
        ),
        canvas_length=torch.tensor([e.canvas for e in examples]),
        wanted_length=torch.tensor([e.canvas - e.surplus for e in examples]),
        block_size=block_size,
        grid=grid,
    )
