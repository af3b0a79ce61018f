"""The folder of a study: one study in it, and one process at work on it."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.study.judge import write_json

STUDY = "study.json"


@contextmanager
def claimed(out: Path, fingerprint: str, values: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of a study; a killed study lets go of it by itself.

    Args:
        out: the folder; new, or of this very study.
        fingerprint: of the study.
        values: its recipe, to be kept there.

    Raises:
        UserError: it holds another study or something else, or another process is at work on it.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: expected a folder, found a file; choose another --out")
    if out.exists() and not (out / STUDY).exists() and any(f.name != ".lock" for f in out.iterdir()):
        raise UserError(f"{out}: is not empty and holds no study; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error
    with (out / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{out}: a study is at work here; wait for it, or choose another --out") from None
        check(out, fingerprint)
        write_json(out / STUDY, {"fingerprint": fingerprint, "recipe": values})
        yield


def check(out: Path, fingerprint: str) -> None:
    """Refuse a folder that holds another study."""
    if not (out / STUDY).exists():
        return
    try:
        found = json.loads((out / STUDY).read_text())["fingerprint"]
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{out}/{STUDY}: expected what a study wrote, found something else; choose another --out"
        ) from None
    if found != fingerprint:
        raise UserError(
            f"{out}: holds another study (another recipe or size, or changed by --set); choose another --out"
        )
