"""A task: problems with answers that can be checked."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from unmask.config.components import choose
from unmask.config.registry import Registry
from unmask.config.yaml import read_value
from unmask.data import Record
from unmask.errors import UserError
from unmask.tasks.thinking import without_thinking

Judgement = TypeVar("Judgement")
TaskClass = TypeVar("TaskClass", bound=type[Any])


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem.

    Args:
        prompt: what the model is asked.
        solution: a full written-out solution that scores 1.
        answer: what is compared.
        source: where the problem came from.
    """

    prompt: str
    solution: str
    answer: str
    source: str

    @property
    def key(self) -> str:
        """Hash of the prompt, by which overlaps between sets are found."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()[:16]

    @property
    def record(self) -> Record:
        """The problem and its solution as a row to train on."""
        return Record(prompt=self.prompt, completion=self.solution, source=self.source)


@runtime_checkable
class Task(Protocol):
    """Where problems come from and when an answer is right.

    ``chat`` is how prompts are put to the model; ``default_problems`` how many there are, None for all.
    """

    name: ClassVar[str]
    chat: bool | None
    default_problems: ClassVar[int | None]

    def problems(self, split: str, size: int | None, seed: int) -> Sequence[Problem]:
        """Return problems of the ``train`` or ``test`` split; the same arguments give the same problems.

        Raises:
            UserError: there are fewer than ``size``, or no such split.
        """
        ...

    def is_right(self, text: str, problem: Problem) -> bool:
        """Judge a generated text: of a registered task, what it says outside its thinking.

        Whatever the text is, the judgement ends in bounded time, without an exception.
        """
        ...


@runtime_checkable
class Graded(Protocol):
    """A task that can say more of an answer than right or wrong."""

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return further scores from 0 to 1 by name, the same names for every text."""
        ...


def grades(task: Task, text: str, problem: Problem) -> dict[str, float]:
    """Return the further scores of an answer; none if the task has no others than right and wrong."""
    return task.grades(text, problem) if isinstance(task, Graded) else {}


class _Tasks(Registry[Task]):
    """Tasks by name. What a model thinks is no answer in any: each judges what a text says outside its thinking."""

    def register(self, name: str) -> Callable[[TaskClass], TaskClass]:
        """Return a class decorator that enters the class under ``name``, deaf to thinking."""
        enter = super().register(name)

        def deafen(cls: TaskClass) -> TaskClass:
            for judged in ("is_right", "grades"):
                if hasattr(cls, judged):
                    setattr(cls, judged, _outside_thinking(getattr(cls, judged)))
            enter(cls)
            return cls

        return deafen


def _outside_thinking(judge: Callable[[Any, str, Problem], Judgement]) -> Callable[[Any, str, Problem], Judgement]:
    @functools.wraps(judge)
    def judged(task: Any, text: str, problem: Problem) -> Judgement:
        return judge(task, without_thinking(text), problem)

    return judged


TASKS = _Tasks("task")


def choose_task(text: str) -> Task:
    """Read a task from the command line: its name, or YAML such as ``{name: gsm8k, path: data/gsm8k}``."""
    return choose(TASKS, read_value(text, "--task"), "--task")


def draw(make: Callable[[], tuple[str, Problem]], *, split: str, size: int, remedy: str) -> list[Problem]:
    """Draw different problems of a split until there are ``size``, or it is plain that there are no more.

    A problem belongs to the test split if the hash of its key says so (one in ten), whatever the seed: splits never
    overlap.

    Args:
        make: draws a problem of either split, and gives what tells it from others as its key.
        split: ``train`` or ``test``.
        size: how many.
        remedy: what to write where there are too few.
    """
    check_split(split)
    found: dict[str, Problem] = {}
    draws, last_new = 0, 0
    while len(found) < size:
        key, problem = make()
        draws += 1
        if is_test(key) == (split == "test") and key not in found:
            found[key] = problem
            last_new = draws
        # After as many draws as the last find took, five times over, another problem would be a wonder.
        if draws - last_new > max(10_000, 5 * last_new):
            raise UserError(f"expected {size} different {split} problems, found that there are {len(found)}; {remedy}")
    return list(found.values())


def is_test(key: str) -> bool:
    """Give one problem in ten to the test split, by hash."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10 == 0


def check_split(split: str, *, only_test: str | None = None) -> None:
    """Refuse what is neither ``train`` nor ``test``, and ``train`` of the task ``only_test``."""
    if split not in ("train", "test"):
        raise UserError(f"split: expected train or test, found '{split}'")
    if only_test and split == "train":
        raise UserError(f"split: expected test, found 'train'; {only_test} has problems to be tested on only")
