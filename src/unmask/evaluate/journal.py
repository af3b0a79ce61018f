"""Answers on disk as they come: lines are only ever appended, so that a killed run goes on where it was.

A folder holds ``run.json`` (settings, versions, machine, and in the end the results) and, while a run is under way, a
file ``answers-RANK.jsonl`` of each process. In the end these become ``answers.jsonl``, in the order of the problems.
Every line carries the fingerprint of the settings that it was made with.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.evaluate import processes
from unmask.evaluate.answers import Answer, Evaluation
from unmask.evaluate.record import FORMAT, differences, fingerprint, made_with

RUN_FILE, ANSWERS_FILE = "run.json", "answers.jsonl"


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The folder of a run.

    Args:
        folder: where.
        settings: what its answers depend on, and more; see ``record.settings_of``.
        done: answers that were there when it was opened.
    """

    folder: Path
    settings: Mapping[str, Any]
    done: Sequence[Answer] = field(default_factory=list)

    def append(self, answers: Sequence[Answer]) -> None:
        """Write answers, each as a line."""
        mark = fingerprint(self.settings)
        lines = [json.dumps({"run": mark, **asdict(answer)}, ensure_ascii=False) + "\n" for answer in answers]
        with self._mine.open("a", encoding="utf-8") as file:
            file.write("".join(lines))

    def finish(self, found: Evaluation, device: Any) -> dict[str, Any]:
        """Write the results and all answers in order; return what ``run.json`` holds."""
        kept = {**_head(self.settings, device), "results": found.summary(), "answers": found.fingerprint}
        if processes.rank() == 0:
            mark = fingerprint(self.settings)
            lines = [json.dumps({"run": mark, **asdict(a)}, ensure_ascii=False) + "\n" for a in found.answers]
            _replace(self.folder / ANSWERS_FILE, "".join(lines))
            _replace(self.folder / RUN_FILE, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
            for path in self.folder.glob("answers-*.jsonl"):
                path.unlink()
        processes.wait()
        return kept

    @property
    def _mine(self) -> Path:
        return self.folder / f"answers-{processes.rank()}.jsonl"


def check_folder(folder: Path, *, resume: bool = False) -> None:
    """Refuse a folder that answers could not be written to, before hours of decoding.

    Raises:
        UserError: it holds something, is a file, lies where nothing can be written, or holds no run to resume.
    """
    holds_run = (folder / RUN_FILE).is_file()
    if resume and not holds_run:
        raise UserError(f"{folder}: no evaluation to resume here; leave out --resume to start one")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: expected a folder, found a file; choose another --out")
    if not resume and holds_run:
        raise UserError(f"{folder}: holds another evaluation; write --resume to go on with it, or choose another --out")
    if not resume and folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: expected a new or empty folder, found files in it; choose another --out")
    probe = folder / f".writable-{processes.rank()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error


def open_journal(folder: Path, settings: Mapping[str, Any], device: Any, *, resume: bool = False) -> Journal:
    """Start a run in a new folder, or go on with the one that it holds. All processes must call it.

    Raises:
        UserError: as ``check_folder``; or the folder's run had other settings.
    """
    if resume:
        _check_same(folder, settings)
        _mend(folder / f"answers-{processes.rank()}.jsonl")
    elif processes.rank() == 0:
        check_folder(folder)
        _replace(folder / RUN_FILE, json.dumps(_head(settings, device), indent=1, ensure_ascii=False) + "\n")
    processes.wait()
    done = read_answers(folder, fingerprint(settings)) if resume else []
    processes.wait()  # nobody writes before all have read
    return Journal(folder=folder, settings=settings, done=done)


def read_answers(folder: Path, mark: str | None = None) -> list[Answer]:
    """Read the answers of a folder; a line that was cut off by a kill is left out.

    Raises:
        UserError: a line was made with settings other than ``mark``, or is none of ours.
    """
    found = {}
    for path in sorted(folder.glob("answers*.jsonl")):
        # Bytes, since an answer may hold other ends of lines, and the cut may have come inside of a letter.
        *lines, _cut_off = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                values = json.loads(line)
                made = values.pop("run")
                answer = Answer(**values)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                raise UserError(
                    f"{path}:{number}: expected an answer of an evaluation; mend or delete the line"
                ) from None
            if mark is not None and made != mark:
                raise UserError(
                    f"{path}:{number}: expected answers of run {mark}, found one of {made}; delete the line"
                )
            found[answer.problem, answer.sample] = answer
    return [found[place] for place in sorted(found)]


def read_run(path: Path) -> dict[str, Any]:
    """Read a ``run.json``, or that of a folder.

    Raises:
        UserError: there is none, or it is of another kind or format.
    """
    path = path / RUN_FILE if path.is_dir() else path
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected the run.json of an evaluation") from error
    except (ValueError, RecursionError):
        raise UserError(f"{path}: expected the run.json of an evaluation, found no JSON") from None
    if not isinstance(kept, dict) or not isinstance(kept.get("settings"), dict):
        raise UserError(f"{path}: expected the run.json of an evaluation, found other JSON")
    if kept.get("format") != FORMAT:
        raise UserError(
            f"{path}: expected format {FORMAT}, found {kept.get('format')!r}, of unmask "
            f"{kept.get('versions', {}).get('unmask', 'unknown')}; repeat it with that version"
        )
    return kept


def _head(settings: Mapping[str, Any], device: Any) -> dict[str, Any]:
    return {"format": FORMAT, "fingerprint": fingerprint(settings), "settings": settings, **made_with(device)}


def _check_same(folder: Path, settings: Mapping[str, Any]) -> None:
    changed = differences(read_run(folder)["settings"], settings)
    if changed:
        raise UserError(f"{folder}: not the evaluation that it holds: {'; '.join(changed)}; resume with its settings")


def _mend(path: Path) -> None:
    """Cut off a last line that a kill left unfinished, so that the next one starts on a line of its own."""
    if path.exists():
        whole = path.read_bytes()
        if not whole.endswith(b"\n"):
            path.write_bytes(whole[: whole.rfind(b"\n") + 1])


def _replace(path: Path, text: str) -> None:
    """Write aside and rename: a file is whole or the one before."""
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
