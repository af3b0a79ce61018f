"""A task: problems with answers that can be checked."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import yaml

from unmask.config import choose
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
    """Where problems come from and when an answer is right.

    ``chat`` is how prompts are put to the model; ``default_problems`` how many there are, None for all.
    """

    name: ClassVar[str]
    chat: bool | None
    default_problems: ClassVar[int | None]

    def problems(self, split: str, size: int | None, seed: int) -> Sequence[Problem]:
        """Return problems of the ``train`` or ``test`` split; the same arguments give the same problems."""
        ...

    def is_right(self, text: str, problem: Problem) -> bool:
        """Judge a generated text."""
        ...


TASKS = Registry[Task]("task")


def choose_task(text: str) -> Task:
    """Read a task from the command line: its name, or YAML such as ``{name: gsm8k, path: data/gsm8k}``."""
    return choose(TASKS, yaml.safe_load(text), "task")
