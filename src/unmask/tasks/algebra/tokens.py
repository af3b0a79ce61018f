"""Cuts an answer in plain LaTeX into numbers, words and signs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

DEEPEST = 30  # brackets within brackets


class Unreadable(ValueError):
    """Raised for a text that is not understood to its end."""


@dataclass(frozen=True)
class Token:
    """A number, command, run of letters or sign; whether a space is before it, and whether it is set upright."""

    text: str
    spaced: bool = False
    upright: bool = False


_TOKEN = re.compile(
    r"(?P<text>\\text ?\{)|(?P<space> +)|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+(?![\d.]))?)"
    r"|(?P<word>[^\W\d_]+)|(?P<sign>\\[A-Za-z]+(?:\{[A-Z]\}(?<=\\mathbb\{.\}))?|\\.|.)",
    re.DOTALL | re.ASCII,
)


def tokens_of(text: str) -> list[Token]:
    r"""Return the tokens of a text in plain LaTeX; ``Unreadable`` is raised if a \text is not closed.

    >>> [token.text for token in tokens_of(r"2\text{ cm}^2")]
    ['2', 'cm', '^', '2']
    """
    tokens: list[Token] = []
    closing: list[int] = []  # depth of braces where a \text ends
    depth, spaced = 0, False
    for found in _TOKEN.finditer(text):
        sign = found[0]
        if found["space"]:
            spaced = True
            continue
        if found["text"]:
            depth += 1
            closing.append(depth)
            spaced = True
            continue
        if sign == "}" and closing and closing[-1] == depth:
            closing.pop()
            depth -= 1
            continue
        depth += (sign == "{") - (sign == "}")
        tokens.append(Token(sign, spaced, bool(closing)))
        spaced = False
    if closing:
        raise Unreadable("an open \\text")
    return tokens


_OPEN, _CLOSE = {"(": ")", "[": "]", "\\{": "\\}", "{": "}", "\\langle": "\\rangle"}, (")", "]", "\\}", "}", "\\rangle")


def depths(tokens: Sequence[Token]) -> list[int]:
    """Return how many brackets are open at each token: an opening one counts at itself, a closing one no longer."""
    out, depth = [], 0
    for token in tokens:
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if depth < 0 or depth > DEEPEST:
            raise Unreadable("brackets")
        out.append(depth)
    if depth:
        raise Unreadable("brackets")
    return out
