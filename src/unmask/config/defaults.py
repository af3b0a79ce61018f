"""Settings that several commands and objects share, each with one rule of precedence and one fallback."""

from typing import Annotated

from pydantic import Field

from unmask.config.components import component

BLOCK_SIZE = 32
"""Columns of a block where neither a method, nor a decoder, nor the model has a size."""

CANVAS = 256
"""Columns that decoding fills for a model that does not remember a canvas."""

Count = Annotated[int, Field(ge=1)]


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
        canvas: columns of every canvas (decoding's ``max_new_tokens``); None fits each answer, with a drawn tail.
        tail_blocks: longest drawn tail, blocks.
        max_length: columns that prompt and canvas may take.
        pack: put several examples into a row of ``max_length`` instead of padding each; ``batch_size`` still counts
            examples.
    """

    canvas: Count | None = None
    tail_blocks: Annotated[int, Field(ge=0)] = 2
    max_length: Annotated[int, Field(ge=2)] = 1024
    pack: bool = False


@component
class Layout(Rows):
    """Grid, canvas and rows of a run.

    Args:
        block_size: the grid of the canvas, columns; None: that of the objective or model, else ``BLOCK_SIZE``.
        canvas: columns of every canvas (decoding's ``max_new_tokens``); None fits each answer, with a drawn tail.
        tail_blocks: longest drawn tail, blocks.
        max_length: columns that prompt and canvas may take.
        pack: put several examples into a row of ``max_length`` instead of padding each.
    """

    block_size: Count | None = None
