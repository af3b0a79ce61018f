"""Errors that a user can mend: one line that says what was expected, what was found and what to write instead."""

import difflib
from collections.abc import Iterable, Sequence

_TOO_LONG = 2000  # characters that no message of ours has; what it quotes is cut


class UserError(Exception):
    """The user's mistake. The command line prints its message without a traceback and exits with ``code``."""

    code = 2

    def __init__(self, *said: object) -> None:
        super().__init__(*(shorten(part, 400) if len(str(part)) > _TOO_LONG else part for part in said))


class NonFiniteError(UserError):
    """A loss, a gradient, a weight or logits became NaN or infinite; nothing made of them is kept.

    Args:
        message: what, where, and what to do.
        places: examples that it happened on.
    """

    def __init__(self, message: str, places: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.places = list(places)


class Interrupted(UserError):
    """A run that a signal ended after it had saved what it had.

    Args:
        message: where it can be gone on with.
        number: of the signal; the command line exits with 128 plus it.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.code = 128 + number


def printable(text: str) -> str:
    r"""Return the text with what no terminal can be sent, halves of surrogate pairs, written as escapes.

    >>> printable("a\ud83d")
    'a\\ud83d'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def shorten(text: object, longest: int = 200) -> str:
    """Return the text on one line, with its middle left out where it is longer than ``longest`` characters.

    >>> shorten("a" * 50 + "z" * 50, 20)
    'aaaaaaaaaa … zzzzzzz'
    """
    ends = str(text)
    if len(ends) > 20 * longest:
        ends = f"{ends[: 10 * longest]} {ends[-10 * longest :]}"
    line = " ".join(ends.split())
    if len(line) <= longest:
        return line
    head = longest // 2
    return f"{line[:head]} … {line[head + 3 - longest :]}"


def not_utf8(error: UnicodeDecodeError) -> str:
    """Name the first byte that is no UTF-8, for a message."""
    return f"byte 0x{error.object[error.start]:02x}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known name is nearest to ``name``, or list them all.

    >>> did_you_mean("blokwise", ["vanilla", "blockwise"])
    "did you mean 'blockwise'?"
    >>> did_you_mean("x", ["vanilla", "blockwise"])
    'known: blockwise, vanilla'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
