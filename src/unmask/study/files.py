"""JSON files of a study: written in one rename, and read with one line where they are not what a study wrote."""

import json
import os
import re
from pathlib import Path
from typing import Any

from unmask.errors import UserError


def write_json(path: Path, values: Any) -> None:
    """Write a file in one rename, so that no reader finds half of it; lists of numbers stand on one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.staged")
    text = re.sub(r"\[[\s\d,]+\]", lambda found: "".join(found[0].split()), json.dumps(values, indent=1))
    with staged.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


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
