"""Problems from files as published, or from the hub."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from unmask.data.fields import broken
from unmask.data.readers import READERS, rows_of
from unmask.data.records import BadRow
from unmask.errors import UserError

Made = TypeVar("Made")
Row = Mapping[str, Any]


def source_of(path: str, split: str) -> str:
    """Return the file of a split: ``path`` itself, or in a folder the file ``<split>.<ending>``, or the only file.

    Args:
        path: a file or a folder; ``~`` is the home folder.
        split: name of the file, without its ending.

    Returns:
        The path of the file.

    Raises:
        UserError: the folder holds no such file, or several.
    """
    where = Path(path).expanduser()
    if not where.is_dir():
        return str(where)
    files = sorted(p for p in where.iterdir() if Path(p.name.lower().removesuffix(".gz")).suffix in READERS)
    named = [p for p in files if p.name.split(".")[0] == split]
    found = named or files
    if len(found) != 1:
        names = ", ".join(p.name for p in found[:5]) or "none"
        raise UserError(f"{path}: expected a file {split}.jsonl, found {names}; write the path of the file itself")
    return str(found[0])


def problems_of(
    source: str, make: Callable[[str, Row], Made | None], *, split: str = "test", size: int | None = None
) -> list[Made]:
    """Read the first ``size`` problems of a source.

    Args:
        source: a file, or a hub data set.
        make: returns the problem of a row, given the row's source; None where the row is of another split.
        split: which split of a hub data set.
        size: how many; None: all.

    Returns:
        The problems, in the order of the rows.

    Raises:
        UserError: a row is no problem (its file and line are named), or there are too few.
    """
    found: list[Made] = []
    for where, row in rows_of(source, split):
        if size is not None and len(found) == size:
            break
        if isinstance(row, BadRow):
            raise UserError(f"{where}: {row.detail}; mend it, or leave the row out of the file")
        made = make(where, row)
        if made is not None:
            found.append(made)
    if size and len(found) < size:
        raise UserError(f"{source}: expected {size} problems, found {len(found)}; ask for at most {len(found)}")
    return found


def text_of(row: Row, where: str, *names: str) -> str:
    """Return the text in the first of some columns that the row has; whole numbers are read as text.

    Args:
        row: values by column.
        where: the row's source, for the message.
        *names: columns, in order of preference.

    Returns:
        Text that is not empty.

    Raises:
        UserError: there is no text, it is empty, or it is not valid Unicode.
    """
    value = next((row[name] for name in names if row.get(name) is not None), None)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.strip():
        columns = " or ".join(f"'{name}'" for name in names)
        found = "nothing" if value is None else "empty text" if isinstance(value, str) else repr(value)[:40]
        raise UserError(
            f"{where}: expected text under {columns}, found {found}; mend it, or leave the row out of the file"
        )
    if detail := broken(text):
        raise UserError(f"{where}: {detail}, or leave the row out of the file")
    return text


def texts_of(row: Row, where: str, name: str) -> list[str]:
    """Return the list of texts in a column; a missing column is an empty list.

    Args:
        row: values by column.
        where: the row's source, for the message.
        name: the column.

    Returns:
        The texts, in order.

    Raises:
        UserError: the column holds something else, or a text is not valid Unicode.
    """
    values = row.get(name)
    values = [] if values is None else values
    if isinstance(values, str) or not isinstance(values, Iterable) or not all(isinstance(v, str) for v in values):
        raise UserError(f"{where}: expected a list of texts under '{name}', found {values!r:.40}; mend the row")
    if detail := next(filter(None, map(broken, values)), None):
        raise UserError(f"{where}: {detail}, or leave the row out of the file")
    return list(values)
