"""Tokens of a canvas in reading order, in lines of monospaced text."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

UNSEEN = (
    *range(0x80, 0xA0),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
)  # commands to terminals, and turns of text
MARKS = {code: chr(0x2400 + code) for code in range(32)} | {9: "⇥", 10: "⏎", 127: "␡", 0x2028: "⏎", 0x2029: "⏎"}
MARKS |= dict.fromkeys(UNSEEN, "�")
END = "∎"
GAP = 0.4  # between tokens, in characters


@dataclass(frozen=True, kw_only=True)
class Box:
    """The position of a token in the picture, in characters from the left and lines from the top.

    Args:
        offset: column of the token on the canvas, from 0.
        line: line, from 0.
        left: its left edge.
        width: its width without the gap.
    """

    offset: int
    line: int
    left: float
    width: float


def visible(text: str, *, is_end: bool = False) -> str:
    r"""Return a token so that it can be seen: an end as a mark, white space and control codes as signs.

    >>> visible("a\n"), visible(""), visible("<eos>", is_end=True)
    ('a⏎', '·', '∎')
    """
    if is_end:
        return END
    return text.translate(MARKS) or "·"


def flow(texts: Sequence[str], columns: int) -> list[Box]:
    """Lay visible tokens out in lines; a line break ends its line.

    Args:
        texts: visible text of each token, as ``visible`` returns it.
        columns: characters of a line at most.

    Returns:
        A box for each token, in order.
    """
    boxes, line, left = [], 0, 0.0
    for offset, text in enumerate(texts):
        width = float(max(cell_len(text), 1))  # a Chinese character is as wide as two letters
        if left and left + width > columns:
            line, left = line + 1, 0.0
        boxes.append(Box(offset=offset, line=line, left=left, width=width))
        left += width + GAP
        if text.endswith("⏎"):
            line, left = line + 1, 0.0
    return boxes
