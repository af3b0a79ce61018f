"""Divides examples into those that are trained on and those that are held out, by conversation."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from unmask.data.encode import EncodedData
from unmask.data.records import Record
from unmask.errors import UserError

PROMPTING = ("system", "developer", "user")
"""Roles of the turns in front of a first answer that make up a prompt."""


def prompt_key(record: Record) -> bytes:
    """Return a key, 8 bytes, of what a row begins with: rows with the same prompt have the same key.

    Args:
        record: a row.

    Returns:
        A hash of the system and user turns before the first answer, or of the prompt; of a row that has no prompt, of
        its whole text. Spaces and line breaks do not count.
    """
    begin: list[tuple[str, str]] = []
    for turn in record.messages:
        if turn["role"] == "assistant":
            break
        if turn["role"] in PROMPTING:
            begin.append((str(turn["role"]), " ".join(str(turn["content"]).split())))
    if not record.messages:
        begin.append(("user", " ".join((record.prompt or record.completion).split())))
    return hashlib.blake2b(json.dumps(begin).encode(), digest_size=8).digest()


def hold_out(
    encoded: EncodedData, records: Sequence[Record], amount: float, seed: int
) -> tuple[EncodedData, EncodedData]:
    """Return the examples to train on and those that are held out; each as a view that shares the tokens.

    Whether a row is held out is drawn by a hash of its prompt and the seed. So all examples of a row, and all rows with
    the same prompt, lie on one side; and with a share, rows that are appended later move no other row.

    Args:
        encoded: examples of ``records``.
        records: the rows.
        amount: a number of rows (a whole number), or a share of them, in (0, 1); 0 holds nothing out.
        seed: of the draw.

    Returns:
        (training, held out), each in the order of the rows.

    Raises:
        UserError: no row would be held out, or none left to train on.
    """
    if not amount:
        return encoded, encoded[:0]
    rows = dict.fromkeys(encoded.rows)
    groups: dict[bytes, list[int]] = {}
    for row in rows:
        groups.setdefault(prompt_key(records[row]), []).append(row)
    if amount >= len(rows):
        raise UserError(
            f"data.held_out: expected fewer than the {len(rows)} rows there are, found {amount}; "
            "what is held out is not trained on"
        )
    chosen = set(_share(groups, amount, seed) if amount < 1 else _number(groups, int(amount), seed))
    if not chosen or len(chosen) == len(rows):
        found = "none" if not chosen else "all"
        raise UserError(
            f"data.held_out: expected a part of the {len(rows)} rows ({len(groups)} different prompts), found that "
            f"{amount} of them is {found}; write a number of rows, another share or data.validation"
        )
    is_held = [row in chosen for row in encoded.rows]
    return (
        encoded.pick([i for i, held in enumerate(is_held) if not held]),
        encoded.pick([i for i, held in enumerate(is_held) if held]),
    )


def shared_prompts(training: Iterable[Record], validation: Sequence[Record]) -> int:
    """Return how many rows of a validation file have a prompt that a training row has, too."""
    seen = {prompt_key(record) for record in training if record.fault is None}
    return sum(record.fault is None and prompt_key(record) in seen for record in validation)


def _share(groups: dict[bytes, list[int]], share: float, seed: int) -> Iterable[int]:
    """Return the rows whose draw is below the share."""
    return (row for key, rows in groups.items() if _draw(key, seed) < share for row in rows)


def _number(groups: dict[bytes, list[int]], number: int, seed: int) -> list[int]:
    """Return so many rows, group by group in the order of their draws; a group that would be too much is left out."""
    chosen: list[int] = []
    for key in sorted(groups, key=lambda key: _draw(key, seed)):
        if len(chosen) + len(groups[key]) <= number:
            chosen += groups[key]
    return chosen


def _draw(key: bytes, seed: int) -> float:
    """Return a number in [0, 1) that depends on a key and the seed only."""
    digest = hashlib.blake2b(key, digest_size=8, salt=seed.to_bytes(16, "little", signed=True)).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53
