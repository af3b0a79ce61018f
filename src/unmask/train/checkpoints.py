"""Checkpoints that survive a kill or a full disk: written aside, synced, sealed by a manifest, then renamed."""

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from unmask.durable import sync
from unmask.sealed import fault_of, seal

STAGING = ".staging"
PREFIX = "checkpoint-"


def publish(staged: Path, final: Path) -> None:
    """Seal a staged checkpoint and put it in place in one rename, so that no reader ever sees half of it."""
    seal(staged)
    if final.exists():
        shutil.rmtree(final)
    staged.replace(final)
    sync(final.parent)


def newest(root: Path, tell: Callable[[str], None] | None = None) -> Path | None:
    """Return the latest whole checkpoint, None if there is none.

    Args:
        root: folder of the checkpoints.
        tell: called with a line on each damaged one that is passed over.
    """
    for folder in _newest_first(root):
        fault = fault_of(folder)
        if fault is None:
            return folder
        if tell:
            tell(f"{folder}: damaged ({fault}); passed over")
    return None


def rotate(root: Path, keep: int, also: Collection[int] = ()) -> None:
    """Delete all but the newest ``keep`` checkpoints and those of the steps ``also``, and what a killed save left."""
    shutil.rmtree(root / STAGING, ignore_errors=True)
    for folder in _newest_first(root)[keep:]:
        if step_of(folder) not in also:
            shutil.rmtree(folder)


def step_of(folder: Path) -> int:
    """Return the step in a checkpoint's name."""
    return int(folder.name.removeprefix(PREFIX))


def _newest_first(root: Path) -> list[Path]:
    folders = [f for f in root.glob(f"{PREFIX}*") if f.name.removeprefix(PREFIX).isdigit()]
    return sorted(folders, key=step_of, reverse=True)
