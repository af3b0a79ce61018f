"""Reads a data set as records: JSON Lines, CSV, Parquet, or a name on the hub, with rows of any known shape."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from unmask.data.columns import left_over, remedy_for
from unmask.data.fields import SYSTEM_COLUMNS, Row, check_leaves, difficulty_of, names
from unmask.data.messages import roles_of, tool_column
from unmask.data.readers import rows_of
from unmask.data.records import BadRow, Record
from unmask.data.schemas import Shape, check_mapping, describe_shapes, shape_of
from unmask.errors import UserError, did_you_mean


def read(
    path_or_name: str | Path,
    *,
    split: str = "train",
    limit: int | None = None,
    columns: Mapping[str, str] | None = None,
    difficulty: str | None = None,
    roles: Mapping[str, str | Sequence[str]] | None = None,
) -> list[Record]:
    """Return the rows of a data set as records.

    Rows that cannot be used are returned with their ``fault``, so that ``encode`` counts them all and decides once.

    Args:
        path_or_name: a ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` (each also ``.gz``) or ``.parquet`` file; or the name
            of a hub data set, ``owner/name`` or ``owner/name:config``.
        split: of a hub data set.
        limit: read at most so many rows.
        columns: what this project calls a column -> what the data set calls it: ``{"prompt": "question",
            "completion": "answer"}``. Without it the shape is recognised by the columns.
        difficulty: the column, as the data set calls it, that says how hard a row is; rows without it cannot be used.
        roles: names of speakers beside those that are known: ``{"Arzt": "assistant"}``, or the other way round,
            ``{"assistant": ["Arzt", "Pfleger"]}``.

    Returns:
        A record for each row, in their order.

    Raises:
        UserError: the file as a whole cannot be read, or no known shape fits its columns.
    """
    source = str(path_or_name)
    rows = list(islice(rows_of(path_or_name, split), limit))
    if not rows:
        raise UserError(f"{source}: expected rows, found none")
    found = list(dict.fromkeys(column for _, row in rows if isinstance(row, dict) for column in row))
    if found and difficulty is not None and difficulty not in found:
        raise UserError(f"data.curriculum.by: {source} has no column '{difficulty}'; {did_you_mean(difficulty, found)}")
    if found and columns is not None:
        check_mapping(columns, found, source)
        found = list(columns)
    usual = shape_of(found)
    if found and usual is None:
        raise UserError(
            f"{source}: expected the columns of a known shape ({describe_shapes()}), found {names(found)}; "
            f"{remedy_for(found, [row for _, row in rows])}"
        )
    known = roles_of(roles or {})
    shapes = lru_cache(maxsize=64)(shape_of)  # most rows have the columns of others
    return [
        _record(source, row, columns=columns, shapes=shapes, usual=usual, difficulty=difficulty, roles=known)
        for source, row in rows
    ]


def _record(
    source: str, row: Row | BadRow, *, columns: Mapping[str, str] | None,
    shapes: Callable[[tuple[str, ...]], Shape | None], usual: Shape | None, difficulty: str | None,
    roles: Mapping[str, str],
) -> Record:  # fmt: skip
    """Return the record of one row, read in its own shape, or as a row of the usual shape with a fault."""
    try:
        if isinstance(row, BadRow):
            raise row
        hard = difficulty_of(row, difficulty) if difficulty is not None else None
        known = row if columns is None else {our: row[their] for our, their in columns.items() if their in row}
        shape = shapes(tuple(known)) or usual
        if shape is None:  # only an object without keys gets here
            raise BadRow("no prompt", "expected columns, found an empty object")
        record = shape.record(known, roles)
        check_leaves((record.messages, record.prompt, record.completion, record.tools))
        check_leaves(hard if isinstance(hard, str) else None)
    except BadRow as fault:
        return Record(source=source, fault=fault)
    said = [turn["content"] for turn in record.messages if turn["role"] == "system"]
    read = known.keys() & {*shape.needs, *(c for c in SYSTEM_COLUMNS if known.get(c) in said), tool_column(known)}
    unused, unread = left_over(row, {*(read if columns is None else map(columns.__getitem__, read)), difficulty})
    return Record(**{**vars(record), "source": source, "difficulty": hard, "unused": unused, "unread": unread})
