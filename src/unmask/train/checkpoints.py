"""Checkpoints that survive a kill or a full disk: written aside, synced, sealed by a manifest, then renamed."""

import hashlib
import json
import os
import shutil
from pathlib import Path

MANIFEST = "manifest.json"
STAGING = ".staging"
PREFIX = "checkpoint-"


def seal(folder: Path) -> None:
    """Write the manifest (size and SHA-256 of every file) and force all of it to disk."""
    sizes = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name != MANIFEST:
            sizes[str(file.relative_to(folder))] = {"bytes": file.stat().st_size, "sha256": _digest(file)}
            _sync(file)
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(sizes, indent=1))
    _sync(manifest)
    _sync(folder)


def publish(staged: Path, final: Path) -> None:
    """Seal a staged checkpoint and put it in place in one rename, so that no reader ever sees half of it."""
    seal(staged)
    if final.exists():
        shutil.rmtree(final)
    staged.replace(final)
    _sync(final.parent)


def is_whole(folder: Path) -> bool:
    """Verify a checkpoint against its manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return all(
            (folder / name).stat().st_size == entry["bytes"] and _digest(folder / name) == entry["sha256"]
            for name, entry in manifest.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def newest(root: Path) -> Path | None:
    """Return the latest checkpoint that verifies; half-written or damaged ones are passed over."""
    return next((folder for folder in _newest_first(root) if is_whole(folder)), None)


def rotate(root: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints, and what an interrupted save left behind."""
    shutil.rmtree(root / STAGING, ignore_errors=True)
    for folder in _newest_first(root)[keep:]:
        shutil.rmtree(folder)


def step_of(folder: Path) -> int:
    """Read the step off a checkpoint's name."""
    return int(folder.name.removeprefix(PREFIX))


def _newest_first(root: Path) -> list[Path]:
    folders = [f for f in root.glob(f"{PREFIX}*") if f.name.removeprefix(PREFIX).isdigit()]
    return sorted(folders, key=step_of, reverse=True)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
