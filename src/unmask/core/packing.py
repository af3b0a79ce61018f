"""Packing: several texts of uneven lengths share few rows of nearly even lengths."""

from collections.abc import Sequence


def pack(sizes: Sequence[int], row_length: int) -> list[list[int]]:
    """Share texts out over as few rows as first-fit decreasing needs, then evenly: all are as wide as the widest.

    Args:
        sizes: columns of each text.
        row_length: columns of a row; a text that is longer has a row of its own.

    Returns:
        Indices of the texts in each row.

    >>> pack([5, 4, 3, 2], row_length=8)
    [[0, 3], [1, 2]]
    """
    by_size = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    fitted = _first_fit(sizes, by_size, row_length)
    even: list[list[int]] = [[] for _ in fitted]
    for index in by_size:
        min(even, key=lambda row: _columns(sizes, row)).append(index)
    return even if _widest(sizes, even) <= _widest(sizes, fitted) else fitted


def _first_fit(sizes: Sequence[int], by_size: Sequence[int], row_length: int) -> list[list[int]]:
    """Return the texts of each row when each text, in the order given, goes into the first row that it fits into."""
    rows: list[list[int]] = []
    for index in by_size:
        row = next((row for row in rows if _columns(sizes, row) + sizes[index] <= row_length), None)
        if row is None:
            rows.append([index])
        else:
            row.append(index)
    return rows


def _columns(sizes: Sequence[int], row: Sequence[int]) -> int:
    return sum(sizes[i] for i in row)


def _widest(sizes: Sequence[int], rows: Sequence[Sequence[int]]) -> int:
    return max(_columns(sizes, row) for row in rows)
