"""Checks that a record is what its run wrote: all that its settings and answers imply is computed and compared."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.evaluate.answers import Answer, Evaluation, by_problem
from unmask.evaluate.lines import read_lines
from unmask.evaluate.record import differences, fingerprint

ANSWERS_FILE = "answers.jsonl"
TIMES = ("seconds", "decoding_seconds")


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_settings(path: Path, kept: Mapping[str, Any]) -> None:
    """Refuse a record whose settings are not those that its fingerprint was made of.

    Args:
        path: the record, for the message.
        kept: its content.

    Raises:
        UserError: they were changed after the run.
    """
    made = fingerprint(kept["settings"])
    if kept.get("fingerprint") != made:
        raise UserError(
            f"{path}: its settings were changed after the run: expected fingerprint {made}, found "
            f"{str(kept.get('fingerprint'))[:80]}; put the settings back, or run unmask eval anew"
        )


def check_record(path: Path, kept: Mapping[str, Any]) -> list[Answer]:
    """Refuse a record that is incomplete, or not as the run left it.

    Args:
        path: ``run.json``, or its folder.
        kept: what it holds.

    Returns:
        The answers, in the order of the problems.

    Raises:
        UserError: settings, answers, counts or results do not go together; the message names which.
    """
    folder = path if path.is_dir() else path.parent
    file = folder / ANSWERS_FILE
    check_settings(path, kept)
    results = kept.get("results")
    if "answers" not in kept or not isinstance(results, Mapping):
        raise UserError(f"{path}: expected a finished run, found one without results; go on with it by --resume")
    if not file.is_file():
        raise UserError(f"{file}: expected the answers of {path}, found no file; put it back, or run unmask eval anew")
    answers = list(read_lines(file, kept["fingerprint"]))
    samples = _check_counts(file, kept["settings"], answers)
    found = Evaluation(answers=answers, samples=samples)
    if found.fingerprint != kept["answers"]:
        raise UserError(
            f"{file}: its texts were changed after the run: expected hash {str(kept['answers'])[:80]}, found "
            f"{found.fingerprint}; put them back, or run unmask eval anew"
        )
    changed = total_differences(results, found.summary(), skipped=("seconds",))
    if changed:
        raise UserError(
            f"{path}: its results are not those of its answers: {'; '.join(changed)}; one of the two was changed "
            "after the run; put it back, or run unmask eval anew"
        )
    if "answers_sha256" in kept and hash_of(file) != kept["answers_sha256"]:
        raise UserError(
            f"{file}: was changed after the run: expected SHA-256 {str(kept['answers_sha256'])[:80]}, found "
            f"{hash_of(file)}; put it back, or run unmask eval anew"
        )
    return answers


def _check_counts(file: Path, settings: Mapping[str, Any], answers: list[Answer]) -> int:
    """Compare the answers with the problems and samples that were wanted; return the samples of each problem."""
    problems, samples = settings.get("problems"), settings.get("samples")
    if not (isinstance(problems, int) and isinstance(samples, int) and samples > 0):
        raise UserError(f"{file.parent}: settings expected numbers of problems and samples, found {problems!r:.80} and "
                        f"{samples!r:.80}; run unmask eval anew")  # fmt: skip
    if len(answers) != problems * samples:
        raise UserError(
            f"{file}: expected {problems * samples} lines ({problems} problems, {samples} samples), found "
            f"{len(answers)}; put it back, or run unmask eval anew"
        )
    wanted = [(problem, sample) for problem in range(problems) for sample in range(samples)]
    for number, (answer, due) in enumerate(zip(answers, wanted, strict=True), 1):
        if (answer.problem, answer.sample) != due:
            raise UserError(
                f"{file}:{number}: expected sample {due[1]} of problem {due[0]}, found sample {answer.sample} of "
                f"problem {answer.problem}; put the file back, or run unmask eval anew"
            )
    return samples


def total_differences(before: Mapping[str, Any], now: Mapping[str, Any], *, skipped: tuple[str, ...]) -> list[str]:
    """Compare totals; intervals are compared where both were made by one method.

    Args:
        before: totals of the record.
        now: the same, computed again.
        skipped: names of totals that are not compared, such as times.

    Returns:
        A phrase for each total that differs.
    """
    if before.get("interval_method") != now["interval_method"]:  # of a version that names no method, or uses another
        before, now = _without_intervals(before), _without_intervals(now)
    was, has = ({name: value for name, value in of.items() if name not in skipped} for of in (before, now))
    return differences(was, has)


def _without_intervals(totals: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in totals.items() if name not in ("interval", "interval_method")}
    if isinstance(kept.get("pass"), Mapping):
        rates = kept["pass"].items()
        kept["pass"] = {k: row.get("rate") if isinstance(row, Mapping) else row for k, row in rates}
    return kept


def changed_verdicts(before: list[Answer], now: list[Answer]) -> list[str]:
    """Return the sources of problems that are judged otherwise: right or wrong, or another grade."""
    was = by_problem(before)
    sources = [
        answer.source
        for answer in now
        if (old := was.get((answer.problem, answer.sample))) is not None
        and (old.is_right, old.grades) != (answer.is_right, answer.grades)
    ]
    return list(dict.fromkeys(sources))
