"""Settings that several commands and objects share, each with one rule of precedence and one fallback."""

from typing import Annotated, Literal

from pydantic import Field

from unmask.config.components import component
from unmask.core.attention import Grid
from unmask.errors import UserError

BLOCK_SIZE = 32
"""Columns of a block where neither a method, nor a decoder, nor the model has a size."""

CANVAS = 256
"""Columns that decoding fills for a model that does not remember a canvas."""

TAIL_BLOCKS = 2
"""Most blocks of a drawn tail where ``tail_blocks`` is not written."""

Count = Annotated[int, Field(ge=1)]
Tail = Literal["none", "one", "block", "sampled", "rainbow"]


def resolve_block_size(
    *, objective: int | None = None, decoder: int | None = None, layout: int | None = None, model: int | None = None
) -> int:
    """Return the block size in columns: the first of the arguments that is not None, else ``BLOCK_SIZE``.

    Args:
        objective: what the training method names.
        decoder: what the decoder, or the option ``--block-size``, names.
        layout: what the layout of the rows names.
        model: what the model was trained with.

    Returns:
        Columns of a block.
    """
    return objective or decoder or layout or model or BLOCK_SIZE


def resolve_grid(
    *, decoder: Grid | None = None, layout: Grid | None = None, export: Grid | None = None, model: Grid | None = None
) -> Grid:
    """Return where blocks are counted from: the first of the arguments that is not None, else the ``answer``.

    Args:
        decoder: what the decoder, or its block rule, names.
        layout: what the layout of the rows names.
        export: what engines count by that serve what ``run.export`` names; None where they take any.
        model: what the model was trained with.

    Returns:
        ``answer``, the first token of the answer, or ``text``, the first token of the prompt.
    """
    return decoder or layout or export or model or "answer"


def resolve_canvas(*, given: int | None = None, model: int | None = None) -> int:
    """Return how many columns decoding fills: what the user wrote, else the model's canvas, else ``CANVAS``.

    Args:
        given: ``max_new_tokens`` as the user wrote it; zero and below are passed on, to be refused by name.
        model: the canvas that the model was trained with.

    Returns:
        Columns of the canvas.
    """
    return given if given is not None else model or CANVAS


@component
class Rows:
    """How examples become rows, but for the grid: what a recipe writes in ``data`` and ``Layout`` takes.

    Args:
        canvas: columns of every canvas (decoding's ``max_new_tokens``); None fits each to its answer, and ``tail`` says
            what follows the answer's end.
        tail: what stands in a fitted canvas after the answer's end token. ``none``: nothing; ``one``: one end-of-text
            token; ``block``: end-of-text up to the end of the block; ``sampled``: the same, then a drawn number of
            further blocks; ``rainbow``: as ``sampled``, with a cycle of distinct tokens instead of end-of-text. None:
            ``sampled``. A fixed canvas is filled whole; of the names, it takes only ``rainbow``.
        tail_blocks: longest drawn tail, blocks; None: ``TAIL_BLOCKS``, or 0 where nothing is drawn.
        tail_tokens: texts of the cycle's tokens in their order; None: seven reserved tokens of the tokenizer.
        max_length: columns that prompt and canvas may take.
        pack: put several examples into a row of ``max_length`` instead of padding each; ``batch_size`` still counts
            examples. None: only where all rows of the data are texts.
    """

    canvas: Count | None = None
    tail: Tail | None = None
    tail_blocks: Annotated[int, Field(ge=0)] | None = None
    tail_tokens: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    max_length: Annotated[int, Field(ge=2)] = 1024
    pack: bool | None = None

    def __post_init__(self) -> None:
        is_drawn = self.tail in (None, "sampled", "rainbow")
        if self.canvas is not None and self.tail not in (None, "rainbow"):
            raise UserError(
                f"expected no tail beside canvas={self.canvas}, which is filled whole, found tail={self.tail}; leave "
                "one of the two out"
            )
        if self.tail_blocks and not is_drawn:
            raise UserError(
                f"expected no tail_blocks beside tail={self.tail}, which draws none, found {self.tail_blocks}; leave "
                "one of the two out"
            )
        if self.tail_tokens is not None and self.tail != "rainbow":
            raise UserError(
                f"expected tail_tokens only with tail=rainbow, found tail={self.tail or 'sampled'}; leave one of the "
                "two out"
            )
        if self.tail_blocks is None:
            object.__setattr__(self, "tail_blocks", TAIL_BLOCKS if is_drawn else 0)


@component
class Layout(Rows):
    """Grid, canvas and rows of a run.

    Args:
        block_size: columns of a block; None: that of the objective or model, else ``BLOCK_SIZE``.
        canvas: columns of every canvas (decoding's ``max_new_tokens``); None fits each to its answer.
        tail: what stands in a fitted canvas after the answer's end token, by name; None: ``sampled``.
        tail_blocks: longest drawn tail, blocks; None: ``TAIL_BLOCKS``, or 0 where nothing is drawn.
        tail_tokens: texts of the tokens of a ``rainbow`` in their order; None: seven reserved ones of the tokenizer.
        max_length: columns that prompt and canvas may take.
        pack: put several examples into a row of ``max_length`` instead of padding each; None: only texts.
        grid: where blocks are counted from, ``answer`` or ``text``; None: as the model was trained.
    """

    block_size: Count | None = None
    grid: Grid | None = None
