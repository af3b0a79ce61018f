"""Curves in a terminal: dots of braille letters, two across and four down in each."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rich.text import Text

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column of a letter
BLANK = 0x2800
Points = Sequence[tuple[float, float]]


def curves(
    series: Mapping[str, Points], *, width: int, height: int, right: float, joined: Sequence[str] = ()
) -> list[Text]:
    """Draw points in letters, from x = 0 at the left on; the vertical scale is that of all points.

    Args:
        series: style of rich -> points (x, y); later series are drawn over earlier ones.
        width: letters of a line, the labels at the left included.
        height: lines.
        right: x at the right edge.
        joined: styles whose points are joined by lines.

    Returns:
        The lines, from top to bottom; the first and the last have the largest and the smallest y before them.
    """
    values = [y for points in series.values() for _, y in points]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    labels = [f"{high:.3g}", f"{low:.3g}"]
    margin = max(map(len, labels)) + 1
    columns = max(width - margin, 1)
    cells = [[0] * columns for _ in range(height)]
    styles = [[""] * columns for _ in range(height)]

    def put(style: str, across: int, down: int) -> None:
        cells[down // 4][across // 2] |= DOTS[down % 4][across % 2]
        styles[down // 4][across // 2] = style

    for style, points in series.items():
        before: tuple[int, int] | None = None
        for x, y in points:
            across = round(min(max(x / max(right, 1e-9), 0.0), 1.0) * (2 * columns - 1))
            down = round((high - y) / max(high - low, 1e-9) * (4 * height - 1))
            put(style, across, down)
            if before and style in joined:
                _join(before, (across, down), partial(put, style))
            before = across, down
    drawn = []
    for number, (row, kinds) in enumerate(zip(cells, styles, strict=True)):
        label = labels[0] if number == 0 else labels[1] if number == height - 1 else ""
        line = Text(label.rjust(margin - 1) + " ", "dim")
        for cell, style in zip(row, kinds, strict=True):
            line.append(chr(BLANK + cell) if cell else " ", style)
        drawn.append(line)
    return drawn


def _join(one: tuple[int, int], other: tuple[int, int], put: Callable[[int, int], None]) -> None:
    """Put dots on the straight line between two dots."""
    steps = max(abs(other[0] - one[0]), abs(other[1] - one[1]), 1)
    for n in range(1, steps):
        across, down = (round(a + (b - a) * n / steps) for a, b in zip(one, other, strict=True))
        put(across, down)


def bar(share: float, width: int) -> str:
    """Return a bar of eighths of letters.

    >>> bar(0.5, 4), bar(0.1, 4)
    ('██', '▍')

    Args:
        share: of the width, from 0 to 1.
        width: letters of the whole.

    Returns:
        The bar, without blanks after it.
    """
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]
