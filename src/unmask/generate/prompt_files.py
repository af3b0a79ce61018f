"""Reads a file of prompts: one a line, or rows of JSON Lines, CSV or Parquet with a prompt, a question or a chat."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unmask.data.fields import Row, check_leaves, names, system_of, text
from unmask.data.messages import tool_column, tools_of, turns
from unmask.data.parse import LongNumber
from unmask.data.readers import READERS, json_rows, rows_of
from unmask.data.records import BadRow, Message
from unmask.errors import UserError, did_you_mean, not_utf8, shorten
from unmask.runtime.foreign import check_file

TEXTS = ("prompt", "question", "instruction", "query")
CHATS = ("messages", "conversations", "conversation")
STDIN = "-"


@dataclass(frozen=True, kw_only=True)
class PromptRow:
    """A row of a file of prompts.

    Args:
        number: of the row, from 1.
        source: file and line, for messages.
        columns: all of the row, as it was read.
        prompt: text, or the turns of a chat, the last of which the model answers.
        tools: that the model may call, for the chat template.
        earlier: rows before it that hold the same prompt.
        fault: why the row cannot be used, or None.
    """

    number: int
    source: str
    columns: Row
    prompt: str | tuple[Message, ...] = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    earlier: int = 0
    fault: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """What a file of prompts holds.

    Args:
        name: of the file, or ``-`` for stdin.
        rows: all of them, in the file's order.
    """

    name: str
    rows: Sequence[PromptRow] = field(default_factory=tuple)

    @property
    def usable(self) -> list[PromptRow]:
        """Rows without a fault."""
        return [row for row in self.rows if row.fault is None]

    @property
    def faulty(self) -> list[PromptRow]:
        """Rows that cannot be used."""
        return [row for row in self.rows if row.fault is not None]

    def check(self, on_bad: str) -> None:
        """Check that all rows can be used, or that they may be skipped and some are left.

        Args:
            on_bad: ``error`` or ``skip``.

        Raises:
            UserError: names the first row that cannot be used, and how many there are.
        """
        if on_bad not in ("error", "skip"):
            raise UserError(f"on_bad: expected error or skip, found {on_bad!r}")
        faulty = self.faulty
        if faulty and (on_bad == "error" or not self.usable):
            more = f" (and {len(faulty) - 1:,} more of {len(self.rows):,} rows)" if len(faulty) > 1 else ""
            remedy = "; mend it, or leave such rows out with --on-bad skip" if self.usable else ""
            raise UserError(f"{faulty[0].source}: {faulty[0].fault}{more}{remedy}")


def read_prompts(path: str | Path, *, column: str | None = None, split: str = "train") -> Prompts:
    """Read the prompts of a file.

    Args:
        path: a ``.txt`` file with one prompt a line; a ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet`` file
            (text files also ``.gz``); a data set on the hub; or ``-`` for JSON Lines on stdin.
        column: that holds the prompt, text or a chat; default: ``messages``, ``prompt``, ``question`` and the like.
        split: of a data set on the hub.

    Returns:
        All rows. Those that cannot be used have a fault.

    Raises:
        UserError: the file cannot be read as a whole, or has no column with prompts.
    """
    name = str(path)
    found = list(_rows(path, name, split))
    if not found:
        raise UserError(f"{shorten(name, 160)}: expected prompts, found none")
    columns = list(dict.fromkeys(each for _, row in found if isinstance(row, Mapping) for each in row))
    if column is not None and columns and column not in columns:
        raise UserError(f"{shorten(name, 160)}: no column '{shorten(column, 60)}'; {did_you_mean(column, columns)}")
    if column is None and columns and not {*TEXTS, *CHATS} & {*columns}:
        raise UserError(
            f"{shorten(name, 160)}: expected a column {', '.join((*TEXTS, *CHATS))}, found {names(columns)}; write "
            "--column NAME with the one that holds the prompts"
        )
    seen: Counter[str] = Counter()
    return Prompts(name=name, rows=[_read(i, s, row, column, seen) for i, (s, row) in enumerate(found, 1)])


def _rows(path: str | Path, name: str, split: str) -> Iterator[tuple[str, Row | BadRow]]:
    """Yield sources and rows."""
    if name == STDIN:
        try:
            yield from json_rows(iter(sys.stdin), "stdin")
        except UnicodeDecodeError as error:
            raise UserError(f"stdin: expected UTF-8 text, found {not_utf8(error)}; convert it") from None
        return
    file = Path(path).expanduser()
    if file.suffix.lower() == ".txt":
        yield from _lines(file, name)
        return
    if file.is_file() and not any(name.lower().removesuffix(".gz").endswith(each) for each in READERS):
        raise UserError(f"{shorten(name, 160)}: expected a file that ends with .txt, {', '.join(READERS)}; rename it")
    yield from rows_of(path, split)


def _lines(file: Path, name: str) -> Iterator[tuple[str, Row]]:
    """Yield the lines of a text file that are not empty, each as a prompt."""
    try:
        check_file(file)
        content = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: expected UTF-8 text, found {not_utf8(error)}; save the file as UTF-8") from None
    except OSError as error:
        raise UserError(f"{shorten(name, 160)}: cannot be read ({error.strerror}); check the path") from None
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            yield f"{name}:{number}", {"prompt": line.rstrip("\r")}


def _read(number: int, source: str, row: Row | BadRow, column: str | None, seen: Counter[str]) -> PromptRow:
    if isinstance(row, BadRow):
        return PromptRow(number=number, source=source, columns={}, fault=row.detail)
    try:
        prompt = _prompt(row, column)
        tools = tools_of(row) if column is None and tool_column(row) else ()
        check_leaves(row)
        if any(isinstance(value, LongNumber) for value in row.values()):
            raise BadRow("wrong type", "expected numbers of at most 4,300 digits")
    except BadRow as fault:
        return PromptRow(number=number, source=source, columns=row, fault=fault.detail)
    key = repr((prompt, tools))
    seen[key] += 1
    return PromptRow(
        number=number, source=source, columns=row, prompt=prompt, tools=tools, earlier=seen[key] - 1
    )  # fmt: skip


def _prompt(row: Row, column: str | None) -> str | tuple[Message, ...]:
    """Return the text or the turns that a row asks the model to answer.

    Args:
        row: of the file.
        column: that holds the prompt; None: the first that is known and not empty.

    Returns:
        Text, or turns that end with one that is not the assistant's.

    Raises:
        BadRow: there is no prompt, it is empty, or the last turn is an answer.
    """
    known = [each for each in (*CHATS, *TEXTS) if each in row]
    chosen = column or next((each for each in known if row[each] not in (None, "", [])), next(iter(known), None))
    if chosen is None:
        raise BadRow("no prompt", f"expected a prompt under {', '.join((*TEXTS, *CHATS))}, found only {names(row)}")
    value = row.get(chosen)
    is_chat = isinstance(value, Sequence) and (not isinstance(value, str) or chosen in CHATS)
    if not is_chat:
        said = text(row, chosen, "prompt")
        if not said.strip():
            raise BadRow("no prompt", f"expected a prompt under '{chosen}', found empty text")
        more = row.get("input") if chosen == "instruction" else None
        said = f"{said}\n\n{more}" if isinstance(more, str) and more else said
        system = system_of(row) if column is None else ()
        return (*system, {"role": "user", "content": said}) if system else said
    history = turns(value, chosen, "prompt")
    if not history:
        raise BadRow("no prompt", f"expected turns under '{chosen}', found an empty list")
    if history[-1]["role"] in ("assistant", "system"):
        raise BadRow(
            "no question",
            f"expected a chat under '{chosen}' that ends with the user's turn, found one that ends with the "
            f"{history[-1]['role']}'s; take that turn out",
        )
    system = system_of(row) if column is None and history[0]["role"] != "system" else ()
    return (*system, *history)
