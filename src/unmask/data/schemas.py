"""The shapes that rows come in, recognised by their columns. A new shape is one registered class.

Where several shapes fit, the lowest ``rank`` wins: a data set that carries ``messages`` beside a bare ``prompt`` is a
chat data set.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

from unmask.config.registry import Registry
from unmask.data.fields import SYSTEM_COLUMNS, Row, names, system_of, text
from unmask.data.messages import TOOL_COLUMNS, tools_of, turns
from unmask.data.records import Record
from unmask.errors import UserError, did_you_mean

Roles = Mapping[str, str] | None
"""Further names of speakers -> roles."""


class Shape(ABC):
    """A way to write a row.

    Attributes:
        name: under which it is registered.
        needs: columns that a row must have.
        rank: shapes with a lower one are tried first.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    rank: ClassVar[int] = 3

    @abstractmethod
    def record(self, row: Row, roles: Roles = None) -> Record:
        """Return a row as a record, without its source; a ``BadRow`` is raised if it cannot be read.

        Args:
            row: one that has the columns ``needs``.
            roles: further names of speakers.

        Returns:
            Turns, or prompt and completion; and the tools.
        """


SHAPES = Registry[Shape]("data shape")


class Pair(Shape):
    """A prompt and its completion, under two names; either may be a list of messages."""

    def record(self, row: Row, roles: Roles = None) -> Record:
        """Return the prompt and the completion; a conversation if the prompt is a list of messages."""
        prompt, completion = (row.get(column) for column in self.needs)
        if isinstance(prompt, list):
            context = turns(prompt, self.needs[0], roles=roles)
            answer = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
            answers = turns(answer, self.needs[1], "response", roles)
            return Record(messages=(*context, *answers), first_answer=len(context), tools=tools_of(row))
        return pair(row, text(row, self.needs[0], "prompt"), text(row, self.needs[1], "response"))


@SHAPES.register("prompt-completion")
class PromptCompletion(Pair):
    """``{"prompt": "2+2?", "completion": "4"}``; the values may be lists of messages."""

    needs = ("prompt", "completion")


@SHAPES.register("prompt-response")
class PromptResponse(Pair):
    """``{"prompt": "2+2?", "response": "4"}``."""

    needs = ("prompt", "response")


@SHAPES.register("question-answer")
class QuestionAnswer(Pair):
    """``{"question": "2+2?", "answer": "4"}``, as GSM8K."""

    needs = ("question", "answer")


@SHAPES.register("question-response")
class QuestionResponse(Pair):
    """``{"question": "2+2?", "response": "4"}``, as OpenOrca."""

    needs = ("question", "response")


@SHAPES.register("problem-solution")
class ProblemSolution(Pair):
    """``{"problem": "2+2?", "solution": "4"}``, as MATH."""

    needs = ("problem", "solution")


@SHAPES.register("instruction-output")
class InstructionOutput(Pair):
    """``{"instruction": "Add 2 and 2.", "output": "4"}``: Alpaca without inputs."""

    needs = ("instruction", "output")


@SHAPES.register("alpaca")
class Alpaca(Shape):
    """``{"instruction": "Add.", "input": "2, 2", "output": "4"}``; an input that is not empty follows a blank line."""

    needs = ("instruction", "input", "output")
    rank = 2

    def record(self, row: Row, roles: Roles = None) -> Record:
        """Return instruction and input, joined by a blank line, as the prompt, and the output as the completion."""
        del roles  # there are no turns
        instruction, extra, output = self.needs
        prompt = text(row, instruction, "prompt")
        if row.get(extra) not in (None, ""):
            prompt = f"{prompt}\n\n{text(row, extra, 'prompt')}"
        return pair(row, prompt, text(row, output, "response"))


@SHAPES.register("dolly")
class Dolly(Alpaca):
    """``{"instruction": "Add.", "context": "2, 2", "response": "4"}``."""

    needs = ("instruction", "context", "response")


@SHAPES.register("chat")
class Chat(Shape):
    """``{"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]}``."""

    needs = ("messages",)
    rank = 0

    def record(self, row: Row, roles: Roles = None) -> Record:
        """Return the conversation, with the system column, if any, in front; turns may be JSON text, as in CSV."""
        (column,) = self.needs
        messages = turns(row.get(column), column, roles=roles)
        system = system_of(row)
        if system and not (messages and messages[0]["role"] == "system"):
            messages = (*system, *messages)
        return Record(messages=messages, tools=tools_of(row))


@SHAPES.register("sharegpt")
class ShareGPT(Chat):
    """``{"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}``."""

    needs = ("conversations",)
    rank = 1


@SHAPES.register("text")
class PlainText(Shape):
    """``{"text": "Once upon a time"}``: a document, of which every token is trained."""

    needs = ("text",)
    rank = 9  # beside a prompt and an answer it is their rendered form

    def record(self, row: Row, roles: Roles = None) -> Record:
        """Return the text as a completion without a prompt."""
        del roles  # there are no turns
        return Record(completion=text(row, "text", "text"), is_text=True)


def shape_of(columns: Iterable[str]) -> Shape | None:
    """Return the shape of lowest rank whose columns are all there; None if there is none.

    >>> shape_of(["id", "question", "answer"]).name
    'question-answer'
    """
    have = set(columns)
    fitting = [shape for shape in _by_rank() if have.issuperset(shape.needs)]
    return fitting[0]() if fitting else None


def describe_shapes() -> str:
    """Return the columns of every shape as text, for messages."""
    return "; ".join("+".join(shape.needs) for shape in _by_rank())


def check_mapping(mapping: Mapping[str, str], columns: Iterable[str], source: str) -> None:
    """Check that a column mapping has known names on both sides and gives a shape.

    Args:
        mapping: our name of a column -> the data set's.
        columns: of the data set.
        source: file or name of the data set, for messages.

    Raises:
        UserError: it does not.
    """
    ours = {column for name in SHAPES for column in SHAPES[name].needs} | {*SYSTEM_COLUMNS, *TOOL_COLUMNS}
    theirs = list(columns)
    for our, their in mapping.items():
        if our not in ours:
            raise UserError(f"data.columns: unknown name '{our}'; {did_you_mean(our, ours)}")
        if their not in theirs:
            raise UserError(f"data.columns.{our}: {source} has no column '{their}'; {did_you_mean(their, theirs)}")
    if shape_of(mapping) is None:
        raise UserError(
            f"data.columns: expected a mapping for all columns of one shape ({describe_shapes()}), "
            f"found {names(mapping) or 'none'}; write for example {{prompt: question, completion: answer}}"
        )


def pair(row: Row, prompt: str, completion: str) -> Record:
    """Return a record of a prompt and a completion; a conversation if the row has a system prompt.

    Args:
        row: whose system prompt and tools are read.
        prompt: text.
        completion: text.

    Returns:
        The record, without its source.
    """
    system, tools = system_of(row), tools_of(row)
    if not system:
        return Record(prompt=prompt, completion=completion, tools=tools)
    exchange = ({"role": "user", "content": prompt}, {"role": "assistant", "content": completion})
    return Record(messages=(*system, *exchange), tools=tools)


def _by_rank() -> list[type[Shape]]:
    return sorted((SHAPES[name] for name in SHAPES), key=lambda shape: shape.rank)
