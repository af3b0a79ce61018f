"""JSON files of a study: written in one rename, and read with one line where they are not what a study wrote."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.runtime.durable import write_whole
from unmask.runtime.sealed import FORMAT, check_format


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object and its format in one rename, so that no reader finds half; lists of numbers take one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **values}, indent=1) + "\n"
    write_whole(path, re.sub(r"\[[\s\d,]+\]", lambda found: "".join(found[0].split()), text))


def read_json(path: Path, then: str) -> dict[str, Any]:
    """Read an object that a study wrote.

    Args:
        path: the file.
        then: what the error tells the user to do if the file holds something else.

    Returns:
        The object, with its ``format``.

    Raises:
        UserError: it cannot be read, holds no JSON object, or is of a newer unmask.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected what a study wrote, found something else; {then}")
    check_format(found.get("format", 1), path)
    return found
