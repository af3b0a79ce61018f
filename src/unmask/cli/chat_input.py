"""What a user types into ``unmask chat``: lines, or several lines between triple quotes, with editing and history."""

import contextlib
import sys
from dataclasses import dataclass
from types import ModuleType

from unmask.errors import UserError, not_utf8

QUOTES = '"""'
PROMPT, MORE = "> ", "... "


class LineInterruptError(Exception):
    """Ctrl-C while a line is typed.

    Args:
        is_empty: whether nothing stood on the line, and no earlier line of the same text.
    """

    def __init__(self, *, is_empty: bool) -> None:
        super().__init__()
        self.is_empty = is_empty


def editor() -> ModuleType | None:
    """Return the module ``readline``, which gives ``input`` editing and a history; None without it or a terminal."""
    if not (is_typed() and sys.stdout.isatty()):
        return None
    with contextlib.suppress(ImportError):  # it is not there on Windows
        import readline

        return readline
    return None


def is_typed() -> bool:
    """Return whether a person types: stdin is a terminal."""
    return sys.stdin.isatty()


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What a user typed.

    Args:
        text: without white space around it; empty for an empty line.
        is_command: whether it is a command: it begins with / and not with triple quotes.
    """

    text: str
    is_command: bool = False


def read_typed() -> Typed | None:
    """Return what the user types next; None at the end of the input.

    A text that begins with triple quotes goes on over further lines up to the next triple quotes.

    Returns:
        A line, or the text between the quotes.

    Raises:
        LineInterruptError: Ctrl-C was pressed.
        UserError: what comes is no UTF-8, or the input ends between triple quotes.
    """  # noqa: DOC502, DOC503
    line = _line(PROMPT, is_first=True)
    if line is None:
        return None
    line = line.strip()
    if not line.startswith(QUOTES):
        return Typed(text=line, is_command=line.startswith("/"))
    lines = [line.removeprefix(QUOTES)]
    while QUOTES not in lines[-1]:
        more = _line(MORE, is_first=False)
        if more is None:
            raise UserError(
                f"stdin: expected {QUOTES} at the end of a text of several lines, found the end of the input"
            )
        lines.append(more)
    text, _, rest = "\n".join(lines).partition(QUOTES)
    return Typed(text=f"{text}{rest}".strip())


def _line(prompt: str, *, is_first: bool) -> str | None:
    """Return a line; None at the end of the input."""
    edited = editor()
    try:
        if edited is not None:
            return input(prompt)  # readline has to know the prompt, or it is wiped as the line is drawn anew
        sys.stderr.write(prompt)
        sys.stderr.flush()
        return input()
    except EOFError:
        return None
    except KeyboardInterrupt:
        typed = edited.get_line_buffer() if edited is not None else ""
        raise LineInterruptError(is_empty=is_first and not typed) from None
    except UnicodeDecodeError as error:
        raise UserError(f"stdin: expected UTF-8 text, found {not_utf8(error)}; convert it") from None
