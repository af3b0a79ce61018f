"""Questions of one's own: a file of questions and expected answers, and the rule by which an answer is right."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, cast

from pydantic import BeforeValidator, SkipValidation

from unmask.config.components import InvalidConfigError, component, fill
from unmask.data.fields import broken, kind, names, system_of
from unmask.data.messages import tool_column, turns
from unmask.data.records import BadRow, Message
from unmask.errors import UserError, did_you_mean
from unmask.runtime.paths import is_hub_name
from unmask.tasks.base import TASKS, Problem, Task, check_split
from unmask.tasks.published import Row, problems_of
from unmask.tasks.rules.base import AnswerRule, answer_rule

QUESTIONS = ("question", "prompt", "problem", "instruction", "query", "input")
EXPECTED = ("expected", "answer", "answers", "label", "target", "completion", "response", "output", "solution")
CHATS = ("messages", "conversations")
ADDED = ("input", "context")
"""Columns that stand below an instruction, as in Alpaca and Dolly."""
OURS = ("question", "expected", "messages", "system", "reference")
"""Names that ``columns`` may map to the file's."""


@TASKS.register("questions")
@component
class Questions:
    """Questions of your own from a file, and the rule by which an answer is right.

    A row has a question (under ``question``, ``prompt``, ``problem``, ``instruction``, ``query`` or ``input``) and the
    expected answer, or a list of all that are right (under ``expected``, ``answer``, ``answers``, ``label``,
    ``target``, ``completion``, ``response``, ``output`` or ``solution``). Or it is a chat under ``messages``: its last
    assistant turn is the expected answer unless a column has one, and the model gets all turns before.

    Args:
        path: JSON Lines, JSON, CSV or Parquet file, or the name of a hub data set (its split ``test``).
        answer: the rule: ``exact``, ``number``, ``math``, ``contains``, ``regex``, ``judge``, ``python:FILE:FUNCTION``,
            or ``{name: …, fields}``.
        columns: our name -> the file's, where columns are not recognised: ``{question: ask, expected: gold}``; further
            names are ``messages``, ``system``, and ``reference``, an answer that is right, where the expected one is a
            pattern.
        system: system prompt of every question that has none of its own; empty: none.
        instruction: written under each question; empty: none.
        chat: whether questions are put into the chat template; None: if the tokenizer has one.
    """

    path: str
    answer: Annotated[AnswerRule, SkipValidation, BeforeValidator(answer_rule)]
    columns: dict[str, str] | None = None
    system: str = ""
    instruction: str = ""
    chat: bool | None = None
    default_problems: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        for name in self.columns or ():
            if name not in OURS:
                raise UserError(f"columns: unknown name '{name}'; {did_you_mean(name, OURS)}")

    @property
    def on_hub(self) -> bool:
        """Whether the questions are read from the hub, over the network."""
        return is_hub_name(self.path)

    @property
    def files(self) -> tuple[str, ...]:
        """Python files that the rule runs, which a record may not run unasked."""
        return self.answer.files

    def connect(self) -> None:
        """Check that the judge, if there is one, answers; a ``UserError`` is raised where it does not."""
        self.answer.connect()

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return the first ``size`` questions; the file is the test split, the only one. ``seed`` is not used."""
        del seed
        check_split(split, only_test="questions")
        self.answer.prepare()
        return problems_of(self.path, self._problem, size=size)

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the rule gives the answer the grade 1."""
        return self.answer.grade(text, problem) >= 1

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return the rule's further scores, such as ``grade`` of a function; mostly none."""
        return self.answer.grades(text, problem)

    def _problem(self, source: str, row: Row) -> Problem:
        try:
            named = self._renamed(row)
            messages, said = self._conversation(named)
            accepted = _expected(named, said)
        except BadRow as fault:
            raise UserError(f"{source}: {fault.detail}; mend it, or leave the row out of the file") from None
        if not accepted and self.answer.needs_expected:
            found = names(row) or "no columns"
            raise UserError(
                f"{source}: expected an answer under {_listed(EXPECTED)}, found {found}; mend the row, or name "
                "the column by columns: {expected: …}"
            )
        for answer in accepted:
            if wrong := self.answer.fault(answer):
                raise UserError(
                    f"{source}: {wrong} for the rule {self.answer.name}, found '{answer[:60]}'; mend the row"
                )
        reference = _text(named["reference"], "reference") if named.get("reference") not in (None, "") else ""
        is_single = len(messages) == 1 and messages[0]["role"] == "user"
        return Problem(
            prompt=str(messages[0]["content"]) if is_single else _as_text(messages),
            messages=() if is_single else messages,
            solution=reference or (accepted[0] if accepted and self.answer.judges_itself else ""),
            answer=" | ".join(accepted),
            accepted=accepted,
            source=source,
            row=row,
        )

    def _renamed(self, row: Row) -> Row:
        """Return the row with the columns that ``columns`` names under our names."""
        found = dict(row)
        for our, their in (self.columns or {}).items():
            if their not in row:
                raise BadRow("no column", f"columns.{our}: expected a column '{their}', found {names(row)}")
            found.pop(their, None) if their in (*QUESTIONS, *EXPECTED, *CHATS) else None
        return found | {our: row[their] for our, their in (self.columns or {}).items()}

    def _conversation(self, row: Row) -> tuple[tuple[Message, ...], str | None]:
        """Return the turns that are put to the model, and the answer that a chat ends with, if it does."""
        if tool_column(row):
            raise BadRow("tools", f"expected questions without tools, found some under '{tool_column(row)}'")
        column = next((name for name in (*CHATS, *QUESTIONS) if row.get(name) not in (None, "")), None)
        if column is None:
            raise BadRow(
                "no question", f"expected a question under {_listed((*QUESTIONS, *CHATS))}, found {names(row)}"
            )
        value, said = row[column], None
        if column in CHATS or isinstance(value, list):
            messages = turns(value, column)
            if messages and messages[-1]["role"] == "assistant":
                messages, said = messages[:-1], str(messages[-1]["content"])
        else:
            messages = ({"role": "user", "content": _whole(row, column)},)
        if not messages or messages[-1]["role"] not in ("user", "tool"):
            found = f"{messages[-1]['role']}" if messages else "none"
            raise BadRow("no question", f"expected a last turn of the user under '{column}', found {found}")
        if self.instruction:
            last = {**messages[-1], "content": f"{messages[-1]['content']}\n\n{self.instruction}"}
            messages = (*messages[:-1], last)
        if messages[0]["role"] not in ("system", "developer"):
            own = system_of(row) or (({"role": "system", "content": self.system},) if self.system else ())
            messages = (*own, *messages)
        return messages, said


def task_of(task: Task | None, questions: str | None, answer: object) -> Task:
    """Return the task of a section that names one, or a file of questions and the rule that judges them.

    Args:
        task: the task, if one is named.
        questions: file of the questions, if one is named.
        answer: the rule, if one is named.

    Returns:
        ``task``, or the task ``questions`` of the file and the rule.

    Raises:
        InvalidConfigError: both are named, or neither, or a rule without a file.
    """
    if (task is None) == (questions is None):
        found = "neither" if task is None else "both"
        raise InvalidConfigError([
            f": expected either task or questions, found {found}; write for example task: gsm8k, or "
            "questions: FILE and answer: number"
        ])  # fmt: skip
    if task is not None:
        if answer is not None:
            raise InvalidConfigError(
                ["answer: is the rule for a file of questions, and a task has its own; leave it out"]
            )
        return task
    return cast("Task", fill(Questions, {"path": questions, "answer": answer}))


def _whole(row: Row, column: str) -> str:
    """Return a question with what stands below an instruction."""
    text = _text(row[column], column)
    extra = next((row[name] for name in ADDED if column == "instruction" and row.get(name) not in (None, "")), None)
    return text if extra is None else f"{text}\n\n{_text(extra, 'input')}"


def _expected(row: Row, said: str | None) -> tuple[str, ...]:
    """Return all answers that are right: of a column, else the one that a chat ends with; none where there is none."""
    column = next((name for name in EXPECTED if row.get(name) is not None), None)
    value = said if column is None else row[column]
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    found = [_text(one, column or "messages") for one in values if one is not None]
    return tuple(dict.fromkeys(text for text in found if text.strip()))


def _text(value: object, column: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if isinstance(value, (int, float)) else value
    if not isinstance(text, str):
        raise BadRow("wrong type", f"expected text under '{column}', found {kind(value)}")
    if not text.strip() and column in QUESTIONS:
        raise BadRow("no question", f"expected a question under '{column}', found empty text")
    if detail := broken(text):
        raise BadRow("broken text", detail)
    return text


def _as_text(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in columns)
