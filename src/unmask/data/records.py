"""Types of the data layer: a row as it was read, and the prompt and answer tokens made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = Mapping[str, Any]
"""``{"role": ..., "content": ...}``, perhaps ``tool_calls``, perhaps ``weight: 0``: context that is not trained.
Further keys (``reasoning_content``, ``name``) are left to the chat template."""


class BadRow(Exception):
    """Why a row, or one answer of it, cannot be trained on. Readers raise it; the report counts it.

    Args:
        reason: by which rows are counted (``no response``).
        detail: what was expected and what was found, for the first row of each reason.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


Difficulty = float | str
"""A number, where larger is harder, or a label, which a curriculum ranks."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of a data set: a conversation, or a prompt and its completion.

    Args:
        messages: the turns of a conversation, oldest first; empty where ``prompt`` and ``completion`` are given.
        first_answer: assistant turns before this index are context only (a prompt given as messages).
        prompt: text before the completion.
        completion: text that the model learns to write.
        is_text: whether ``completion`` is a text by itself, every token of which is trained, and not an answer.
        tools: what the model may call, for the chat template.
        source: where the row came from (``chats.jsonl:12``), for messages.
        difficulty: how hard the row is, where a column with difficulties was named.
        fault: why the row cannot be used. Such rows are kept so that they can be counted.
        unused: columns of the row that matter in training and are not used here.
        unread: all other columns of the row that are not read.
    """

    messages: tuple[Message, ...] = ()
    first_answer: int = 0
    prompt: str = ""
    completion: str = ""
    is_text: bool = False
    tools: tuple[Mapping[str, Any], ...] = ()
    source: str = ""
    difficulty: Difficulty | None = None
    fault: BadRow | None = None
    unused: tuple[str, ...] = field(default=(), compare=False)
    unread: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An example as tokens.

    Args:
        prompt: clean context, exactly what decoding would start from.
        answer: what the model learns to write; ends with one end-of-turn token (unless it was truncated).
        source: where the row came from; ``chats.jsonl:12 turn 4`` in a conversation with several answers.
        difficulty: of the row.
    """

    prompt: Sequence[int]
    answer: Sequence[int]
    source: str = ""
    difficulty: Difficulty | None = None
