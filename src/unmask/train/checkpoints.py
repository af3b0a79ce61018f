"""Checkpoints: published in one rename, checked for damage, deleted when old; and the signals that end a run."""

import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType
from typing import Any

from unmask.runtime.durable import sync
from unmask.runtime.sealed import fault_of, seal

STAGING = ".staging"
PREFIX = "checkpoint-"
STATE = "trainer_state.json"


def publish(staged: Path, final: Path) -> None:
    """Seal a staged checkpoint and rename it to ``final``, so that no reader ever sees half of it."""
    seal(staged)
    if final.exists():
        shutil.rmtree(final)
    staged.replace(final)
    sync(final.parent)


def damage_of(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint; None if a run can continue from it."""
    if fault := fault_of(folder):
        return fault
    try:
        step = json.loads((folder / STATE).read_text(encoding="utf-8"))["global_step"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"{STATE} tells no step"
    if step != step_of(folder):
        return f"it is of step {step}"
    needed = ("totals.json", "scheduler.pt", "optimizer", "rng_state")
    present = [file.name for file in folder.iterdir()]
    lacks = [name for name in needed if not any(file.startswith(name) for file in present)]
    return f"{lacks[0]} is missing" if lacks else None


def newest(root: Path, tell: Callable[[str], None] | None = None) -> Path | None:
    """Return the latest whole checkpoint, None if there is none.

    Args:
        root: folder of the checkpoints.
        tell: called with a line on each damaged one that is passed over.

    Returns:
        Its folder.
    """
    for folder in _newest_first(root):
        fault = damage_of(folder)
        if fault is None:
            return folder
        if tell:
            tell(f"{folder}: damaged ({fault}); passed over")
    return None


def rotate(root: Path, keep: int, step: int, also: Collection[int] = ()) -> None:
    """Delete old checkpoints, and what a killed save left.

    Args:
        root: folder of the checkpoints.
        keep: how many of the newest stay.
        step: of the checkpoint that was just written. Later ones are damaged, or the run would have continued from
            them; they are deleted, so that they do not count among the newest.
        also: steps that stay in any case.
    """
    shutil.rmtree(root / STAGING, ignore_errors=True)
    folders = _newest_first(root)
    later = [folder for folder in folders if step_of(folder) > step]
    for folder in [*later, *(f for f in folders[len(later) + keep :] if step_of(f) not in also)]:
        shutil.rmtree(folder)


def step_of(folder: Path) -> int:
    """Return the step in a checkpoint's name."""
    return int(folder.name.removeprefix(PREFIX))


def _newest_first(root: Path) -> list[Path]:
    folders = [f for f in root.glob(f"{PREFIX}*") if re.fullmatch(r"[0-9]+", f.name.removeprefix(PREFIX))]
    return sorted(folders, key=step_of, reverse=True)


_ASKED = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Catches SIGINT and SIGTERM inside its context, in the main thread only, as Python allows it nowhere else.

    ``number`` is that of the first signal that came, None before.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._stop) for number in _ASKED}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.number = number
        name = signal.Signals(number).name
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2,
                 f"\n{name}: stopping after this step, and saving; once more to end at once\n".encode())  # fmt: skip
