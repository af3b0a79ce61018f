"""The folder of a study: it holds one study, and one process works on it at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.runtime.runlock import holds, is_empty, owned
from unmask.study.files import read_json, write_json

STUDY = "study.json"


@contextmanager
def claimed(out: Path, fingerprint: str, values: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of a study within the context; the hold ends with the process, even if it is killed.

    Args:
        out: the folder; new, or of this very study.
        fingerprint: of the study.
        values: its recipe, which is stored there.

    Yields:
        None, while the folder is held.

    Raises:
        UserError: it holds another study or something else, or another process is at work on it.
    """
    if holds(out):
        raise UserError(f"{out}: in use by process {os.getpid()}, this one; wait for it, or choose another --out")
    with owned(out, "unmask study"):
        if not (out / STUDY).exists() and not is_empty(out):
            raise UserError(f"{out}: is not empty and holds no study; choose another --out")
        check(out, fingerprint)
        write_json(out / STUDY, {"fingerprint": fingerprint, "recipe": values})
        yield


def check(out: Path, fingerprint: str) -> None:
    """Refuse a folder that holds another study.

    Args:
        out: the folder.
        fingerprint: of the study that is to use it.

    Raises:
        UserError: the folder's study has another fingerprint.
    """
    if not (out / STUDY).exists():
        return
    found = read_json(out / STUDY, "choose another --out").get("fingerprint")
    if found != fingerprint:
        raise UserError(
            f"{out}: holds another study (another recipe or size, or changed by --set); choose another --out"
        )
