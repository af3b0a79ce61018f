"""What travels through this layer: a row as it was read, and the prompt and answer tokens made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Message = Mapping[str, str]
"""``{"role": ..., "content": ...}``; further keys (``name``, ``thinking``) are left to the chat template."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of a data set: a conversation, or a prompt and its completion.

    Args:
        messages: the turns of a conversation, oldest first; empty where ``prompt`` and ``completion`` are given.
        prompt: text before the completion.
        completion: text that the model learns to write.
        place: where the row came from (``chats.jsonl:12``), for messages.
    """

    messages: tuple[Message, ...] = ()
    prompt: str = ""
    completion: str = ""
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An example as tokens.

    Args:
        prompt: clean context, exactly what decoding would start from.
        answer: what the model learns to write; ends with one end-of-turn token (unless it was truncated).
        place: where the row came from; ``chats.jsonl:12 turn 3`` in a conversation with several answers.
    """

    prompt: Sequence[int]
    answer: Sequence[int]
    place: str = ""
