"""A file of answers that can be read at any moment, and the record beside it by which a killed run goes on.

Answers are appended as they come, a line each; at the end the file is written anew in the order of the prompts. The
record ``OUT.run.json`` holds the settings that the answers depend on.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from unmask.errors import UserError, shorten
from unmask.generate.prompt_files import STDIN, PromptRow, Prompts
from unmask.runtime.durable import space_for, write_whole
from unmask.runtime.environment import versions
from unmask.runtime.sealed import FORMAT, check_format

FACTS = ("row", "sample", "tokens", "forwards", "finish")
IRRELEVANT = ("model", "batch_size")
"""Settings that no answer depends on: the weights say which model it is."""


def record_of(out: Path) -> Path:
    """Return the file beside a file of answers that holds its settings."""
    return out.with_name(f"{out.name}.run.json")


def check_out(out: str | Path, prompts: Prompts, *, resume: bool, answer_column: str = "answer") -> None:
    """Refuse, before a model is loaded, a file that answers cannot be written to, and columns that they would replace.

    Args:
        out: a ``.jsonl`` file, or ``-`` for stdout.
        prompts: that are to be answered.
        resume: whether the file is to be gone on with.
        answer_column: name of the column with the answer.

    Raises:
        UserError: names what is there, and what to write instead.
    """
    names = columns_of(answer_column)
    taken = next((name for row in prompts.usable for name in row.columns if name in names.values()), None)
    if taken is not None:
        raise UserError(
            f"{prompts.name}: has a column '{taken}' already, which the answers would replace; write --answer-column "
            f"{'reply' if answer_column == 'answer' else 'NAME with another name'}"
        )
    if str(out) == STDIN:
        if resume:
            raise UserError("--resume: goes on with a file, found --out -; leave one out")
        return
    file = Path(out)
    if file.suffix != ".jsonl":
        raise UserError(f"--out {shorten(file, 160)}: expected a file that ends with .jsonl, or - for stdout")
    is_run = record_of(file).is_file()
    if resume and not is_run:
        raise UserError(f"{file}: no answers to go on with ({record_of(file).name} is not there); leave out --resume")
    if not resume and is_run:
        raise UserError(f"{file}: holds answers already; write --resume to go on with them, or choose another --out")
    if not resume and file.exists():
        raise UserError(f"{file}: expected a new file, found one of that name; choose another --out")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        probe = file.with_name(f".{file.name}.new")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror}); choose another --out") from error


def columns_of(answer_column: str) -> dict[str, str]:
    """Return what the columns of an answer are called: with another name than ``answer``, all begin with that name.

    >>> columns_of("reply")["tokens"]
    'reply_tokens'
    """
    before = "" if answer_column == "answer" else f"{answer_column}_"
    return {"answer": answer_column, **{name: f"{before}{name}" for name in FACTS}}


@dataclass(frozen=True, kw_only=True)
class AnswerFile:
    """A file that answers are appended to.

    Args:
        out: the file.
        settings: that the answers depend on.
        names: of the columns, by ``columns_of``.
        n: samples of each prompt.
        done: answers that were there when it was opened, by row and sample.
        is_finished: whether it was at its end then.
    """

    out: Path
    settings: Mapping[str, Any]
    names: Mapping[str, str]
    n: int = 1
    done: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    is_finished: bool = False

    def append(self, answers: Sequence[dict[str, Any]]) -> None:
        """Write answers, a line each, whole or (after a kill) with the last one cut."""
        with self._guard(), self.out.open("a", encoding="utf-8") as file:
            file.write("".join(map(as_line, answers)))
        self.done.update({self.key(answer): answer for answer in answers})

    def finish(self, skipped: Mapping[str, str]) -> None:
        """Write all answers in the order of their rows, and in the record that they are complete.

        Args:
            skipped: source -> fault of each row that was left out.
        """
        if self.is_finished:
            return
        with self._guard():
            write_whole(self.out, "".join(as_line(self.done[key]) for key in sorted(self.done)))
            write_record(self.out, self.settings, skipped=skipped, is_finished=True)

    def key(self, answer: Mapping[str, Any]) -> tuple[int, int]:
        """Return the number of an answer's row, and of the sample."""
        return int(answer[self.names["row"]]), int(answer.get(self.names["sample"], 0))

    def has(self, row: PromptRow) -> bool:
        """Return whether all samples of a row are there."""
        return all((row.number, sample) in self.done for sample in range(self.n))

    def _guard(self) -> contextlib.AbstractContextManager[None]:
        return space_for(str(self.out), lambda: "make space, then go on with --resume")


@contextlib.contextmanager
def open_answers(
    out: Path, prompts: Prompts, settings: Mapping[str, Any], *, resume: bool, answer_column: str, n: int
) -> Iterator[AnswerFile]:
    """Begin a file of answers, or go on with one; no other process can write it while the context lasts.

    Args:
        out: the file.
        prompts: that are answered.
        settings: that the answers depend on.
        resume: whether to go on with the answers in it.
        answer_column: name of the column with the answer.
        n: samples of each prompt.

    Yields:
        The file, with the answers that were there.

    Raises:
        UserError: another process writes it, it was made with other settings, or holds something else.
    """  # noqa: DOC503
    lock = FileLock(out.with_name(f".{out.name}.lock"), timeout=0.2, is_singleton=False)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{out}: in use by another process; wait for it, or choose another --out") from None
    try:
        names = columns_of(answer_column)
        done, is_finished = _resumed(out, prompts, settings, names) if resume else ({}, False)
        if not resume:
            check_out(out, prompts, resume=False, answer_column=answer_column)  # nobody can begin it any more
            write_record(out, settings, skipped={}, is_finished=False)
            out.touch()
        file = AnswerFile(out=out, settings=settings, names=names, n=n, done=done, is_finished=is_finished)
        try:
            yield file
        except BaseException:
            if not resume and not file.done:  # a start that failed occupies no file
                out.unlink(missing_ok=True)
                record_of(out).unlink(missing_ok=True)
            raise
    finally:
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def write_record(out: Path, settings: Mapping[str, Any], *, skipped: Mapping[str, str], is_finished: bool) -> None:
    """Write the record beside a file of answers, whole or not at all."""
    kept = {
        "format": FORMAT, "settings": settings, "versions": versions(), "is_finished": is_finished, "skipped": skipped
    }  # fmt: skip
    write_whole(record_of(out), json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def as_line(answer: Mapping[str, Any]) -> str:
    """Return an answer as a line of JSON."""
    return json.dumps(answer, ensure_ascii=False) + "\n"


def _resumed(
    out: Path, prompts: Prompts, settings: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[dict[tuple[int, int], dict[str, Any]], bool]:
    """Return the answers of a file, after its settings were checked, and whether it is complete."""
    record = record_of(out)
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        check_format(kept.get("format", 1), record)
        before, is_finished = _flat(kept["settings"]), bool(kept["is_finished"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{record}: expected the settings of answers, found something else; restore it") from None
    now = _flat(settings)
    changed = [
        f"{name} was {_shown(before.get(name))} and is {_shown(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and name not in IRRELEVANT
    ]
    if changed:
        raise UserError(f"{out}: was begun otherwise: {'; '.join(changed)}; resume with the same, or choose another")
    by_number = {row.number: row for row in prompts.usable}
    done: dict[tuple[int, int], dict[str, Any]] = {}
    content = out.read_bytes() if out.exists() else b""
    whole, _, cut = content.rpartition(b"\n")
    if cut:  # a kill left the last line unfinished
        out.write_bytes(whole + b"\n" if whole else b"")
    for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
        try:
            answer = json.loads(line)
            row = by_number[answer[names["row"]]]
            if any(answer.get(name) != value for name, value in row.columns.items()):
                raise ValueError("another row")
            done[row.number, int(answer.get(names["sample"], 0))] = answer
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UserError(
                f"{out}:{number}: expected an answer to a row of {prompts.name}, found something else; mend the line "
                "or delete it"
            ) from None
    return done, is_finished


def _flat(value: object, path: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted names."""
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    before = f"{path}." if path else ""
    inside = (_flat(inner, f"{before}{key}") for key, inner in value.items())
    return {name: each for found in inside for name, each in found.items()}


def _shown(value: object) -> str:
    return shorten(json.dumps(value, ensure_ascii=False), 60)
