"""Answers on disk as they come; lines are only ever appended, so that a killed run continues where it stopped.

A folder holds ``run.json`` (settings, versions, machine, and in the end the results) and, while a run is under way, a
file ``answers-RANK.jsonl`` of each process. In the end these become ``answers.jsonl``, in the order of the problems.
Every line carries the fingerprint of the settings that it was made with.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from unmask.errors import UserError
from unmask.evaluate import processes
from unmask.evaluate.answers import Answer, Evaluation
from unmask.evaluate.lines import read_lines, to_json, write_lines
from unmask.evaluate.record import differences, fingerprint, made_with
from unmask.evaluate.verify import ANSWERS_FILE, check_record, hash_of
from unmask.runtime.durable import write_whole
from unmask.runtime.runlock import is_empty
from unmask.runtime.sealed import FORMAT, check_format

RUN_FILE = "run.json"


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The folder of a run.

    Args:
        folder: its path.
        settings: what its answers depend on, and more, as ``record.settings_of`` returns it.
        done: answers that were there when it was opened.
        finished: what ``run.json`` held then, if the run was at its end; it is not written again.
    """

    folder: Path
    settings: Mapping[str, Any]
    done: Sequence[Answer] = field(default_factory=list)
    finished: Mapping[str, Any] | None = None

    def append(self, answers: Sequence[Answer]) -> None:
        """Write answers to this process's file, each as a line."""
        with self._mine.open("a", encoding="utf-8") as file:
            file.write(write_lines(answers, fingerprint(self.settings)))

    def abandon(self) -> None:
        """Delete ``run.json`` if nothing was answered, so that a failed start does not occupy the folder."""
        if processes.rank() == 0 and not any(self.folder.glob("answers*.jsonl")):
            (self.folder / RUN_FILE).unlink(missing_ok=True)

    def finish(self, found: Evaluation, device: torch.device | str) -> dict[str, Any]:
        """Write the results and all answers in order, and return the content of ``run.json``.

        Args:
            found: the whole evaluation.
            device: what it ran on.

        Returns:
            Settings, versions, machine and results.
        """
        if self.finished is not None:
            return dict(self.finished)
        kept = {**_head(self.settings, device), "results": found.summary(), "answers": found.fingerprint}
        if processes.rank() == 0:
            write_whole(self.folder / ANSWERS_FILE, write_lines(found.answers, fingerprint(self.settings)))
            kept["answers_sha256"] = hash_of(self.folder / ANSWERS_FILE)
            write_whole(self.folder / RUN_FILE, to_json(kept, indent=1) + "\n")
            for path in self.folder.glob("answers-*.jsonl"):
                path.unlink()
        processes.wait()
        return kept

    @property
    def _mine(self) -> Path:
        return self.folder / f"answers-{processes.rank()}.jsonl"


def check_folder(folder: Path, *, resume: bool = False) -> None:
    """Refuse, before hours of decoding, a folder that answers could not be written to.

    Args:
        folder: the folder of the run.
        resume: whether it has to hold a run to go on with.

    Raises:
        UserError: it holds something, is a file, lies where nothing can be written, or holds no run to resume.
    """
    holds_run = (folder / RUN_FILE).is_file()
    if resume and not holds_run:
        raise UserError(f"{folder}: no evaluation to resume here; leave out --resume to start one")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: expected a folder, found a file; choose another --out")
    if not resume and holds_run and (folder / "metrics.jsonl").exists():
        raise UserError(f"{folder}: holds a training run; choose another --out")
    if not resume and holds_run:
        raise UserError(f"{folder}: holds another evaluation; write --resume to go on with it, or choose another --out")
    if not resume and not is_empty(folder):
        raise UserError(f"{folder}: expected a new or empty folder, found files in it; choose another --out")
    probe = folder / f".writable-{processes.rank()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error


def open_journal(
    folder: Path, settings: Mapping[str, Any], device: torch.device | str, *, resume: bool = False
) -> Journal:
    """Start a run in a new folder, or go on with the one that it holds. All processes must call it.

    Args:
        folder: the folder of the run.
        settings: what ``record.settings_of`` returned.
        device: what the run uses.
        resume: whether to go on with the run that the folder holds.

    Returns:
        The journal, with the answers that were there already.

    Raises:
        UserError: the folder cannot be used, its run had other settings, or a finished run lacks its answers.
    """
    if resume:
        kept = read_run(folder)
        _check_same(folder, kept, settings)
        is_done = [name in kept for name in ("results", "answers", "answers_sha256")]
        if any(is_done) and not (kept.get("results") and (folder / ANSWERS_FILE).is_file()):
            lacks = "its answers.jsonl" if kept.get("results") else "results"
            raise UserError(f"{folder}: a finished evaluation without {lacks}; restore it, or choose another --out")
        if any(is_done):
            done = check_record(folder / RUN_FILE, kept)
            return Journal(folder=folder, settings=settings, done=done, finished=kept)
        _mend(folder / f"answers-{processes.rank()}.jsonl")
    elif processes.rank() == 0:
        check_folder(folder)
        write_whole(folder / RUN_FILE, to_json(_head(settings, device), indent=1) + "\n")
    processes.wait()
    done = read_answers(folder, fingerprint(settings)) if resume else []
    processes.wait()  # nobody writes before all have read
    return Journal(folder=folder, settings=settings, done=done)


def read_answers(folder: Path, mark: str | None = None) -> list[Answer]:
    """Read the answers of a folder; a line that was cut off by a kill is left out.

    A ``UserError`` is raised where a line was made with other settings, or is no answer.

    Args:
        folder: the folder of a run.
        mark: fingerprint that each line must have; None: any.

    Returns:
        The answers, by problem and sample.
    """
    found = {}
    for path in sorted(folder.glob("answers*.jsonl")):
        for answer in read_lines(path, mark):
            found[answer.problem, answer.sample] = answer
    return [found[key] for key in sorted(found)]


def read_run(path: Path) -> dict[str, Any]:
    """Return the content of a ``run.json``, or of that in a folder.

    Args:
        path: the file or its folder.

    Returns:
        Settings, versions, machine and results.

    Raises:
        UserError: there is none, or it is of another kind, or of a newer unmask.
    """
    path = path / RUN_FILE if path.is_dir() else path
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected the run.json of an evaluation") from error
    except (ValueError, RecursionError):
        raise UserError(f"{path}: expected the run.json of an evaluation, found no JSON") from None
    if isinstance(kept, dict):
        check_format(kept.get("format", 1), path)
    parts = ("settings", "versions", "hardware")
    if not isinstance(kept, dict) or not all(isinstance(kept.get(part), dict) for part in parts) or _is_deep(kept):
        raise UserError(f"{path}: expected the run.json of an evaluation, found other JSON")
    return kept


def _is_deep(value: object, limit: int = 50) -> bool:
    """Return whether mappings and lists are nested further than any settings are."""
    level = [value]
    for _ in range(limit):
        inside = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list))]
        level = [each for values in inside for each in values]
    return bool(level)


def _head(settings: Mapping[str, Any], device: torch.device | str) -> dict[str, Any]:
    return {"format": FORMAT, "fingerprint": fingerprint(settings), "settings": settings, **made_with(device)}


def _check_same(folder: Path, kept: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    changed = differences(kept["settings"], settings)
    if changed:
        raise UserError(f"{folder}: not the evaluation that it holds: {'; '.join(changed)}; resume with its settings")


def _mend(path: Path) -> None:
    """Cut off a last line that a kill left unfinished, so that the next one starts on a line of its own."""
    if path.exists():
        whole = path.read_bytes()
        if not whole.endswith(b"\n"):
            path.write_bytes(whole[: whole.rfind(b"\n") + 1])
