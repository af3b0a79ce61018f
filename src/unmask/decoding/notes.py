"""What parts remember of the active blocks from one step to the next."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Note:
    """One thing that is remembered.

    Args:
        start: canvas offset of each row's first column here; -1 where nothing is known of the row.
        width: columns that are known of each row.
        values: a row for each row of the state, a column for each place; any further axes.
    """

    start: Int[Tensor, " B"]
    width: Int[Tensor, " B"]
    values: Tensor

    def take(self, index: Int[Tensor, " B"]) -> "Note":
        """Let each row go on with what is remembered of row ``index``."""
        return Note(start=self.start[index], width=self.width[index], values=self.values[index])


Notes = Mapping[str, Note]


class Notebook:
    """The notes, seen from the places of one step: rows are the live ones, columns those of their active blocks.

    Args:
        notes: what was remembered.
        rows: live rows.
        start: canvas offset of each live row's block.
        width: columns of each block.
        places: columns of the widest.
    """

    def __init__(
        self, notes: Notes, *, rows: Int[Tensor, " R"], start: Int[Tensor, " R"], width: Int[Tensor, " R"], places: int
    ) -> None:
        self.notes, self.rows, self.start, self.width, self.places = notes, rows, start, width, places
        self._kept: dict[str, Tensor] = {}

    def recall(self, name: str) -> tuple[Tensor, Bool[Tensor, "R W"]] | None:
        """Return what was kept at each place, and where it is known at all; None: it never was kept.

        A place is known by its canvas offset: a block that moves on or slides takes along what it still covers.
        """
        if name not in self.notes:
            return None
        note = self.notes[name]
        start, width, values = note.start[self.rows], note.width[self.rows], note.values
        column = torch.arange(self.places, device=self.rows.device) + (self.start - start)[:, None]
        is_known = (start >= 0)[:, None] & (column >= 0) & (column < width[:, None])
        column = column.clamp(min=0, max=values.shape[1] - 1)
        found = values[self.rows[:, None], column]
        return torch.where(is_known.view(*is_known.shape, *[1] * (found.ndim - 2)), found, 0), is_known

    def keep(self, name: str, values: Tensor) -> None:
        """Remember ``values[R, W, ...]`` of the places until the next step."""
        self._kept[name] = values

    def written(self, rows: int) -> Notes:
        """Return the notes for the step after this one, for a state of so many rows; what was not kept is forgotten."""
        notes = {}
        for name, values in self._kept.items():
            start = self.start.new_full((rows,), -1)
            width = self.width.new_zeros(rows)
            start[self.rows], width[self.rows] = self.start, self.width
            whole = values.new_zeros(rows, *values.shape[1:])
            whole[self.rows] = values
            notes[name] = Note(start=start, width=width, values=whole)
        return notes
