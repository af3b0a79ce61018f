"""JSON files of a study: written in one rename, and read with one line where they are not what a study wrote."""

import json
import re
from pathlib import Path
from typing import Any

from unmask.durable import write_whole
from unmask.errors import UserError


def write_json(path: Path, values: Any) -> None:
    """Write a file in one rename, so that no reader finds half of it; lists of numbers stand on one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = re.sub(r"\[[\s\d,]+\]", lambda found: "".join(found[0].split()), json.dumps(values, indent=1))
    write_whole(path, text + "\n")


def read_json(path: Path, then: str) -> dict[str, Any]:
    """Read an object that a study wrote.

    Args:
        path: the file.
        then: what to do if it holds something else.

    Raises:
        UserError: it cannot be read, or holds no JSON object.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected what a study wrote, found something else; {then}")
    return found
