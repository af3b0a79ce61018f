"""The format version of folders and records, and a manifest of sizes and hashes that shows damage."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from unmask.errors import UserError, shorten
from unmask.runtime.durable import sync, write_whole

FORMAT = 2
"""Format of every folder and record that is written. Format 1 is that of unmask 0.1.0: most of its files name none, and
its runs describe their objective by the fields of that version."""

MANIFEST = "manifest.json"
_WEIGHTS = (".safetensors", ".bin")
_READ_BY_LOAD = (*_WEIGHTS, ".json", ".jinja", ".txt", ".model")
_REMEDY = f"copy or train it again, or delete {MANIFEST} if the files were changed on purpose"


def check_format(found: object, path: object) -> int:
    """Return the format that a file was written in, a number from 1 to ``FORMAT``.

    Args:
        found: what the file names as its format; pass 1 where it names none.
        path: of the file, for the message.

    Returns:
        ``found``, after the check.

    Raises:
        UserError: the format is newer than ``FORMAT``, or no whole number from 1.
    """
    if type(found) is not int or found < 1:
        raise UserError(f"{path}: expected a format from 1 to {FORMAT}, found {shorten(repr(found), 60)}; restore it")
    if found > FORMAT:
        raise UserError(
            f"{path}: was written by a newer unmask (format {shorten(found, 20)}; this one reads up to {FORMAT}); "
            "upgrade with pip install -U unmask"
        )
    return found


def seal(folder: Path) -> None:
    """Write the manifest of a folder, with size and hash of each file, and force all files to disk."""
    entries = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name != MANIFEST:
            entries[str(file.relative_to(folder))] = {"bytes": file.stat().st_size, "sha256": _digest(file)}
            sync(file)
    write_whole(folder / MANIFEST, json.dumps(entries, indent=1))


def manifest_of(contents: Mapping[str, Path | bytes]) -> str:
    """Return the manifest of files by name, each on disk or as bytes; what it says of itself is left out."""
    entries = {
        name: {"bytes": len(found), "sha256": hashlib.sha256(found).hexdigest()} if isinstance(found, bytes)
        else {"bytes": found.stat().st_size, "sha256": _digest(found)}
        for name, found in contents.items() if name != MANIFEST
    }  # fmt: skip
    return json.dumps(entries, indent=1)


def reseal(folder: Path, name: str) -> None:
    """Write size and hash of a file that was changed on purpose into the manifest of its folder, if there is one."""
    if expected := _read(folder):
        entries = {file: {"bytes": size, "sha256": digest} for file, (size, digest) in expected.items()}
        entries[name] = {"bytes": (folder / name).stat().st_size, "sha256": _digest(folder / name)}
        write_whole(folder / MANIFEST, json.dumps(entries, indent=1))


def fault_of(folder: Path, *, but_for: Sequence[str] = ()) -> str | None:
    """Return the first difference between a sealed folder and its manifest; None if there is none.

    ``but_for`` are names of files that may differ.
    """
    expected = _read(folder)
    if expected is None:
        return f"{MANIFEST} cannot be read"
    if not expected:
        return f"{MANIFEST} lists nothing"
    present = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} - {MANIFEST}
    if unlisted := sorted(present - expected.keys() - set(but_for)):
        return f"{MANIFEST} does not list {unlisted[0]}"
    listed = {name: entry for name, entry in expected.items() if name not in but_for}
    return next((fault for name, entry in listed.items() if (fault := _fault(folder / name, *entry))), None)


def edited(folder: Path) -> list[str]:
    """Return the settings and tokenizer files of a model folder that differ from its manifest.

    Args:
        folder: of a model.

    Returns:
        Names of files; none if the folder has no manifest.

    Raises:
        UserError: a file of weights is missing or damaged, or the manifest is.
    """
    if not (folder / MANIFEST).is_file():
        return []
    expected, found = _read(folder), []
    if expected is None:
        raise UserError(f"{folder}: {MANIFEST} cannot be read; {_REMEDY}")
    if unlisted := [
        file.name for file in sorted(folder.glob("*")) if file.suffix in _WEIGHTS and file.name not in expected
    ]:
        raise UserError(f"{folder}: damaged: {MANIFEST} does not list {unlisted[0]}; {_REMEDY}")
    for name, entry in expected.items():
        if not name.endswith(_READ_BY_LOAD):
            continue
        if fault := _fault(folder / name, *entry):
            if name.endswith(_WEIGHTS):
                raise UserError(f"{folder}: damaged: {fault}; {_REMEDY}")
            found.append(name)
    return found


def _read(folder: Path) -> dict[str, tuple[int, str]] | None:
    """Return size and hash of each file of a manifest; None if it cannot be read."""
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _fault(file: Path, size: int, digest: str) -> str | None:
    if not file.is_file():
        return f"{file.name} is missing"
    if (found := file.stat().st_size) != size:
        return f"{file.name} has {found:,} bytes in place of {size:,}"
    return None if _digest(file) == digest else f"{file.name} is not what was written"


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
