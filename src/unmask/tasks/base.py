"""A task: problems with answers that can be checked."""

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from pydantic import Field

from unmask.config.components import choose
from unmask.config.registry import Registry
from unmask.config.yaml import read_value
from unmask.data import Message, Record
from unmask.errors import UserError
from unmask.tasks.thinking import without_thinking

Judgement = TypeVar("Judgement")
TaskClass = TypeVar("TaskClass", bound=type[Any])


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem, its solution and what a right answer is.

    Args:
        prompt: what the model is asked; of a conversation, its turns as text.
        solution: a full written-out solution that is judged right; empty where none is known.
        answer: what an answer is compared with.
        source: where the problem came from, such as a file and line.
        messages: the conversation that the model answers; empty: it is asked ``prompt`` alone.
        accepted: all answers that are right, where a task knows several.
        row: the values of the problem's row in its file, for tasks whose judgement reads them.
    """

    prompt: str
    solution: str
    answer: str
    source: str
    messages: tuple[Message, ...] = field(default=(), hash=False)
    accepted: tuple[str, ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def query(self) -> str | list[dict[str, Any]]:
        """What is put to the model: the conversation, or the prompt where there is none."""
        return [dict(message) for message in self.messages] or self.prompt

    @property
    def key(self) -> str:
        """Hash of the prompt (16 hex digits), by which overlaps between sets are found."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()[:16]

    @property
    def record(self) -> Record:
        """The problem and its solution as a row to train on."""
        if self.messages:
            answer = {"role": "assistant", "content": self.solution}
            return Record(messages=(*self.messages, answer), first_answer=len(self.messages), source=self.source)
        return Record(prompt=self.prompt, completion=self.solution, source=self.source)


Chat = Annotated[
    bool | None,
    Field(description="whether prompts are put into the chat template; null: where the tokenizer has one"),
]
"""The field ``chat`` of a task."""


@runtime_checkable
class Task(Protocol):
    """A source of problems and the rule by which an answer is right.

    ``chat`` is whether prompts are put into the chat template (None: where the tokenizer has one);
    ``default_problems`` is how many problems are judged unless told otherwise, None for all.
    """

    name: ClassVar[str]
    chat: bool | None
    default_problems: ClassVar[int | None]

    def problems(self, split: str, size: int | None, seed: int) -> Sequence[Problem]:
        """Return problems of the ``train`` or ``test`` split; the same arguments give the same problems.

        A ``UserError`` is raised where there are fewer than ``size``, or no such split.

        Args:
            split: ``train`` or ``test``.
            size: how many; None: all, or the task's own number where problems are drawn.
            seed: of drawn problems; tasks that read a file do not use it.

        Returns:
            The problems, in the order of the file or of the draw.
        """
        ...

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether a text answers a problem; a registered task judges only what is outside the text's thinking.

        Whatever the text is, the judgement ends in bounded time, without an exception.

        Args:
            text: what the model wrote.
            problem: one of this task.

        Returns:
            True if the answer is right.
        """
        ...


@runtime_checkable
class Graded(Protocol):
    """A task that has further scores of an answer beside right or wrong."""

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return further scores from 0 to 1 by name; the names are the same for every text."""
        ...


def grades(task: Task, text: str, problem: Problem) -> dict[str, float]:
    """Return the further scores of an answer from 0 to 1 by name; empty if the task only judges right or wrong."""
    return task.grades(text, problem) if isinstance(task, Graded) else {}


class _Tasks(Registry[Task]):
    """Tasks by name. A model's thinking never counts as its answer: each task judges only the text outside it."""

    def register(self, name: str) -> Callable[[TaskClass], TaskClass]:
        """Return a class decorator that registers a task under ``name``; its judgement is made to ignore thinking."""
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


def connect(task: Task) -> None:
    """Check that the other programs that a task needs answer, before anything is decoded.

    Args:
        task: any; only one whose answers a model behind an address judges needs another program.

    Raises:
        UserError: one does not answer, or refuses the key.
    """  # noqa: DOC502
    getattr(task, "connect", lambda: None)()


def choose_task(text: str) -> Task:
    """Return the task that the command line names: a name, or YAML such as ``{name: gsm8k, path: data/gsm8k}``."""
    return choose(TASKS, read_value(text, "--task"), "--task")


def draw(make: Callable[[], tuple[str, Problem]], *, split: str, size: int, remedy: str) -> list[Problem]:
    """Draw different problems of a split until there are ``size``, or it is plain that there are no more.

    A problem belongs to the test split if the hash of its key says so (one in ten), whatever the seed: splits never
    overlap.

    Args:
        make: draws a problem of either split; returns a key that distinguishes it from others, and the problem.
        split: ``train`` or ``test``.
        size: how many problems to draw.
        remedy: what the error tells the user to write where there are too few.

    Returns:
        The problems, in the order in which they were drawn.

    Raises:
        UserError: there is no such split, or there are fewer different problems than ``size``.
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
        # After five times as many draws as the last new problem took, another one is very unlikely.
        if draws - last_new > max(10_000, 5 * last_new):
            raise UserError(f"expected {size} different {split} problems, found that there are {len(found)}; {remedy}")
    return list(found.values())


def is_test(key: str) -> bool:
    """Return whether a problem belongs to the test split: one key in ten does, by its hash."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10 == 0


def check_split(split: str, *, only_test: str | None = None) -> None:
    """Raise ``UserError`` unless ``split`` is ``train`` or ``test`` (only ``test`` if ``only_test`` names a task)."""
    if split not in ("train", "test"):
        raise UserError(f"split: expected train or test, found '{split}'")
    if only_test and split == "train":
        raise UserError(f"split: expected test, found 'train'; {only_test} has problems to be tested on only")
