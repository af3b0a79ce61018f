"""Repeating a run: whether it is the same run, with the same answers, verdicts and totals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.evaluate.answers import Answer, Evaluation, by_problem
from unmask.evaluate.record import differences
from unmask.evaluate.verify import TIMES, changed_verdicts, check_record, total_differences


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """How a run came out when it was repeated.

    Args:
        is_same: whether every answer is the same, letter by letter, with its verdict, and every total.
        different: sources of the problems answered otherwise.
        verdicts: sources of the problems judged otherwise.
        totals: a phrase for each total that differs, except times.
        made_otherwise: versions and hardware that differ, which may explain it.
        unknown: what was not compared, as the record was written by an older version and does not hold it.
    """

    is_same: bool
    different: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    totals: list[str] = field(default_factory=list)
    made_otherwise: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as JSON types."""
        return asdict(self)


def check_repeatable(path: Path, kept: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse to repeat a run with another model, other problems or other settings.

    Args:
        path: the record, for the message.
        kept: its content.
        settings: those of the new run.

    Raises:
        UserError: a setting differs; the message names all that do.
    """
    changed = differences(kept["settings"], settings)
    if changed:
        raise UserError(f"{path}: this would not be the same run: {'; '.join(changed)}")


def compare(path: Path, kept: Mapping[str, Any], found: Evaluation, made_with: Mapping[str, Any]) -> Repetition:
    """Compare a run with the one that it repeats.

    A ``UserError`` is raised where the record of the first is not as its run left it.

    Args:
        path: ``run.json`` of the first, or its folder.
        kept: what it holds.
        found: the second run.
        made_with: versions and hardware of the second.

    Returns:
        What is the same and what differs.
    """
    before, results, now = check_record(path, kept), kept["results"], found.summary()
    different = _different(before, found.answers)
    verdicts = changed_verdicts(before, found.answers)
    totals = total_differences(results, now, skipped=TIMES)
    unknown = [] if "answers_sha256" in kept else ["hash of the answers' file"]
    if results.get("interval_method") != now["interval_method"]:
        unknown.append("intervals by the method of this version")
    return Repetition(
        is_same=kept["answers"] == found.fingerprint and not different and not verdicts and not totals,
        different=different,
        verdicts=verdicts,
        totals=totals,
        made_otherwise=[
            phrase for name in ("versions", "hardware") for phrase in differences(kept[name], made_with[name])
        ],
        unknown=unknown,
    )


def _different(before: Sequence[Answer], now: Sequence[Answer]) -> list[str]:
    texts = {key: answer.text for key, answer in by_problem(before).items()}
    sources = [
        answer.source for answer in now if texts.get((answer.problem, answer.sample), answer.text) != answer.text
    ]
    return list(dict.fromkeys(sources))
