"""Columns of a data set that are not read: those that matter in training are named, all others counted."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from unmask.data.fields import SYSTEM_COLUMNS
from unmask.data.messages import REASONING, TOOL_COLUMNS, WEIGHTS

MATTER = frozenset(
    (
        *SYSTEM_COLUMNS, *TOOL_COLUMNS, *WEIGHTS, *REASONING,
        "chosen", "rejected", "label", "labels", "kto_tag", "score", "reward", "margin",  # preference data
        "image", "images", "video", "videos", "audio", "audios",
        "input", "context", "documents", "history", "knowledge", "suffix", "prefix",  # more of the prompt
        "weights", "loss_mask", "completion_mask", "assistant_masks", "attention_mask", "input_ids", "position_ids",
        "think", "thoughts", "rationale", "chain_of_thought", "cot", "Complex_CoT",
        "tool_calls", "tool_choice", "parallel_tool_calls", "response_format", "chat_template_kwargs",
    )
)  # fmt: skip
"""Columns of published training data that other trainers read."""

MATTER_IN_TURNS = frozenset(
    (
        "image",
        "images",
        "video",
        "videos",
        "audio",
        "tools",
        "functions",
        "documents",
        "train_detail",
        "mask",
        "masked",
        *REASONING,
    )
)
"""Keys of turns that other trainers read; a template may read some of them."""


def left_over(row: Mapping[str, Any], read: Collection[str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns with a value that are not read.

    Args:
        row: of the data set.
        read: columns that are read.

    Returns:
        Those that matter in training, and the others.
    """
    rest = [column for column, value in row.items() if column not in read and not is_empty(value)]
    unused = tuple(column for column in rest if column in MATTER)
    return unused, tuple(column for column in rest if column not in MATTER)


def _is_table(value: object) -> bool:
    """Return whether a value is a list of objects that are not turns of a chat."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(entry, Mapping) and not {"role", "from"} & entry.keys() for entry in value)
    )


def is_empty(value: object) -> bool:
    """Return whether a value is null, empty text, an empty list or an empty object."""
    return value is None or (isinstance(value, (str, Sequence, Mapping)) and not value)


def remedy_for(columns: Collection[str], rows: Sequence[object] = ()) -> str:
    """Return the advice of an error message for rows whose columns fit no shape."""
    if "chosen" not in columns:
        only = rows[0] if len(rows) == 1 and isinstance(rows[0], Mapping) else {}
        inside = next((column for column, value in only.items() if _is_table(value)), None)
        if inside is not None:
            return f"the rows stand under '{inside}': write that list alone into the file"
        if len(columns) == 1 and (mark := next((mark for mark in ";\t|" if mark in next(iter(columns))), None)):
            return f"the columns are parted by {mark!r}: write the file with commas"
        return "write data.columns={prompt: ..., completion: ...}"
    if "prompt" in columns:
        return "to train on what was chosen, write data.columns={prompt: prompt, completion: chosen}"
    return "to train on what was chosen, write data.columns={messages: chosen}"
