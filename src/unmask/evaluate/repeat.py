"""A run made again: is it the same run, and did it give the same answers?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.evaluate.answers import Answer, Evaluation, by_place
from unmask.evaluate.journal import ANSWERS_FILE, read_answers
from unmask.evaluate.record import differences


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """How a run came out when it was made again.

    Args:
        is_same: whether every answer is the same, letter by letter.
        different: places of the problems answered otherwise, where the answers of the first run are at hand.
        made_otherwise: versions and hardware that differ, which may explain it.
    """

    is_same: bool
    different: list[str] = field(default_factory=list)
    made_otherwise: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {"is_same": self.is_same, "different": self.different, "made_otherwise": self.made_otherwise}


def check_repeatable(path: Path, kept: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse to call a run a repetition that has another model, other problems or other settings.

    Raises:
        UserError: says what differs.
    """
    changed = differences(kept["settings"], settings)
    if changed:
        raise UserError(f"{path}: this would not be the same run: {'; '.join(changed)}")
    if "answers" not in kept:
        raise UserError(f"{path}: expected a finished run, found one without results; go on with it by --resume")


def compare(path: Path, kept: Mapping[str, Any], found: Evaluation, made_with: Mapping[str, Any]) -> Repetition:
    """Compare a run with the one that it repeats.

    Args:
        path: ``run.json`` of the first, or its folder.
        kept: what it holds.
        found: the second run.
        made_with: versions and hardware of the second.
    """
    made_otherwise = [
        phrase for name in ("versions", "hardware") for phrase in differences(kept.get(name, {}), made_with[name])
    ]
    folder = path if path.is_dir() else path.parent
    before = read_answers(folder, kept["fingerprint"]) if (folder / ANSWERS_FILE).is_file() else []
    return Repetition(
        is_same=kept["answers"] == found.fingerprint,
        different=_different(before, found.answers),
        made_otherwise=made_otherwise,
    )


def _different(before: Sequence[Answer], now: Sequence[Answer]) -> list[str]:
    texts = {place: answer.text for place, answer in by_place(before).items()}
    places = [answer.place for answer in now if texts.get((answer.problem, answer.sample), answer.text) != answer.text]
    return list(dict.fromkeys(places))
