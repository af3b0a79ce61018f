"""A task: problems with answers that can be checked."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from unmask.data import Record
from unmask.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem.

    Args:
        prompt: what the model is asked.
        solution: a full written-out solution that scores 1.
        answer: what is compared.
        place: where the problem came from.
    """

    prompt: str
    solution: str
    answer: str
    place: str

    @property
    def key(self) -> str:
        """Hash of the prompt, by which overlaps between sets are found."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()[:16]

    @property
    def record(self) -> Record:
        """The problem and its solution as a row to train on."""
        return Record(prompt=self.prompt, completion=self.solution, place=self.place)


class Task(Protocol):
    """Where problems come from and when an answer is right."""

    name: str
    chat: bool | None

    def problems(self, split: str, size: int | None, seed: int) -> Sequence[Problem]:
        """Return problems of the ``train`` or ``test`` split; the same arguments give the same problems."""
        ...

    def is_right(self, text: str, problem: Problem) -> bool:
        """Judge a generated text."""
        ...


TASKS = Registry[Task]("task")
