"""Errors that a user can correct: one line with what was expected, what was found and what to write instead."""

import difflib
from collections.abc import Iterable, Sequence

_TOO_LONG = 2000  # characters; longer than any message of unmask, so that what it quotes is cut


class UserError(Exception):
    """A mistake of the user. The command line prints its message without a traceback and exits with ``code``."""

    code = 2

    def __init__(self, *said: object) -> None:
        super().__init__(*(shorten(part, 400) if len(str(part)) > _TOO_LONG else part for part in said))


class NonFiniteError(UserError):
    """A loss, a gradient, a weight or logits became NaN or infinite; nothing computed from them is saved.

    Args:
        message: what is not finite, where, and what to do.
        places: sources of the examples with which it happened.
    """

    def __init__(self, message: str, places: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.places = list(places)


class Interrupted(UserError):
    """A run that a signal ended, after a checkpoint was saved.

    Args:
        message: how to continue the run.
        number: of the signal; the command line exits with 128 plus it.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.code = 128 + number


def printable(text: str) -> str:
    r"""Return the text with halves of surrogate pairs, which cannot be printed, written as escapes.

    >>> printable("a\ud83d")
    'a\\ud83d'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def shorten(text: object, longest: int = 200) -> str:
    """Return ``str(text)`` on one line, with its middle left out where it is longer than ``longest`` characters.

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
    """Return the first byte that is no UTF-8 as text for a message, ``byte 0xff``."""
    return f"byte 0x{error.object[error.start]:02x}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the most similar of the known names, or a list of all.

    >>> did_you_mean("blokwise", ["vanilla", "blockwise"])
    "did you mean 'blockwise'?"
    >>> did_you_mean("x", ["vanilla", "blockwise"])
    'known: blockwise, vanilla'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
