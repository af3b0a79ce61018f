"""The shapes that rows come in, recognised by their columns. A new shape is one registered class.

Where several shapes fit, the lowest ``rank`` wins: a data set that carries ``messages`` beside a bare ``prompt`` is a
chat data set.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from unmask.data.rows import BadRow, Message, Record
from unmask.errors import UserError, did_you_mean
from unmask.registry import Registry

Row = Mapping[str, Any]

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "bot"), "assistant"),
    **{role: role for role in ("system", "developer", "tool")},
}
"""Names of speakers in the wild -> the roles of chat templates."""

SYSTEM_COLUMNS = ("system", "system_prompt")


class Shape:
    """A way to write a row.

    Attributes:
        name: under which it is registered.
        needs: columns that must be there.
        rank: lower ones are tried first.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    rank: ClassVar[int] = 3

    def record(self, row: Row) -> Record:
        """Read a row (without its place), or raise ``BadRow``."""
        raise NotImplementedError


SHAPES = Registry[Shape]("data shape")


class Pair(Shape):
    """A prompt and its completion, under two names; either may be a list of messages."""

    def record(self, row: Row) -> Record:
        """Read the two columns."""
        prompt, completion = (row.get(column) for column in self.needs)
        if isinstance(prompt, list):
            context = turns(prompt, self.needs[0])
            answer = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
            return Record(messages=(*context, *turns(answer, self.needs[1], "response")), first_answer=len(context))
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

    def record(self, row: Row) -> Record:
        """Join instruction and input."""
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

    def record(self, row: Row) -> Record:
        """Read the turns; in CSV they are JSON text."""
        (column,) = self.needs
        messages = turns(row.get(column), column)
        system = system_of(row)
        if system and not (messages and messages[0]["role"] == "system"):
            messages = (*system, *messages)
        return Record(messages=messages)


@SHAPES.register("sharegpt")
class ShareGPT(Chat):
    """``{"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}``."""

    needs = ("conversations",)
    rank = 1


def shape_of(columns: Iterable[str]) -> Shape | None:
    """Return the first shape whose columns are all there.

    >>> shape_of(["id", "question", "answer"]).name
    'question-answer'
    """
    have = set(columns)
    fitting = [shape for shape in _by_rank() if have.issuperset(shape.needs)]
    return fitting[0]() if fitting else None


def describe_shapes() -> str:
    """List the columns of every shape, for messages."""
    return "; ".join("+".join(shape.needs) for shape in _by_rank())


def check_mapping(mapping: Mapping[str, str], columns: Iterable[str], source: str) -> None:
    """Refuse a column mapping whose names are unknown on either side, or which gives no shape."""
    ours = {column for name in SHAPES for column in SHAPES[name].needs} | set(SYSTEM_COLUMNS)
    theirs = list(columns)
    for our, their in mapping.items():
        if our not in ours:
            raise UserError(f"data.columns: unknown name '{our}'; {did_you_mean(our, ours)}")
        if their not in theirs:
            raise UserError(f"data.columns.{our}: {source} has no column '{their}'; {did_you_mean(their, theirs)}")
    if shape_of(mapping) is None:
        raise UserError(
            f"data.columns: expected a mapping for all columns of one shape ({describe_shapes()}), "
            f"found {', '.join(mapping) or 'none'}; write for example {{prompt: question, completion: answer}}"
        )


def text(row: Row, column: str, role: str) -> str:
    """Return a column that must be text; ``role`` names what is missing where it is not there."""
    value = row.get(column)
    if value is None:
        raise BadRow(f"no {role}", f"expected text under '{column}', found {_found(row, column)}")
    if not isinstance(value, str):
        raise BadRow("wrong type", f"expected text under '{column}', found {kind(value)}")
    return value


def pair(row: Row, prompt: str, completion: str) -> Record:
    """Make a prompt and a completion a record; with a system prompt beside them it is a conversation."""
    system = system_of(row)
    if not system:
        return Record(prompt=prompt, completion=completion)
    exchange = ({"role": "user", "content": prompt}, {"role": "assistant", "content": completion})
    return Record(messages=(*system, *exchange))


def system_of(row: Row) -> tuple[Message, ...]:
    """Return the system turn of a row that has one in a column of its own."""
    column = next((c for c in SYSTEM_COLUMNS if row.get(c) not in (None, "")), None)
    return ({"role": "system", "content": text(row, column, "system prompt")},) if column else ()


def turns(value: Any, column: str, role: str = "response") -> tuple[Message, ...]:
    """Read a list of turns, written with role and content or with from and value."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise BadRow("wrong type", f"expected a list of turns under '{column}', found text: {error.msg}") from error
    if value is None:
        raise BadRow(f"no {role}", f"expected a list of turns under '{column}', found null")
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadRow("wrong type", f"expected a list of turns under '{column}', found {kind(value)}")
    return tuple(_turn(turn, f"{column}[{index}]") for index, turn in enumerate(value))


def _turn(value: Any, where: str) -> Message:
    if not isinstance(value, Mapping):
        raise BadRow("wrong type", f"expected an object with role and content at {where}, found {kind(value)}")
    speaker = value.get("role", value.get("from"))
    if not isinstance(speaker, str) or speaker.lower() not in ROLES:
        found = "none" if speaker is None else f"'{speaker}'"
        raise BadRow("unknown role", f"expected a role at {where} (one of {', '.join(ROLES)}), found {found}")
    content = value.get("content", value.get("value"))
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise BadRow("wrong type", f"expected text as the content of {where}, found {kind(content)}")
    # Columnar files fill the keys that other turns have with nulls; templates would take those for given.
    extra = {k: v for k, v in value.items() if k not in ("role", "from", "content", "value") and v is not None}
    return {"role": ROLES[speaker.lower()], "content": content, **extra}


def kind(value: Any) -> str:
    """Name the JSON type of a value, with a glimpse of small ones.

    >>> kind(72), kind([1, 2]), kind(None)
    ('a number (72)', 'a list of 2', 'null')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return f"a number ({value})"
    if isinstance(value, str):
        return f"text ('{value[:20]}')"
    if isinstance(value, Mapping):
        return f"an object with {', '.join(map(str, value)) or 'no keys'}"
    return f"a list of {len(value)}" if isinstance(value, Sequence) else type(value).__name__


def _found(row: Row, column: str) -> str:
    return "null" if column in row else f"only {', '.join(map(str, row)) or 'an empty row'}"


def _by_rank() -> list[type[Shape]]:
    return sorted((SHAPES[name] for name in SHAPES), key=lambda shape: shape.rank)
