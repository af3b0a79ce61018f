"""Fenced blocks of a text, as CommonMark reads them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

PYTHON = ("python", "python3", "python2", "py", "py3", "ipython", "ipython3")
_TAB = 4
# What may stand before a fence: the marks of quotations and list items that it is in.
_OPENS = re.compile(r"^(?P<place>[ \t]*(?:(?:>|[-*+]|\d{1,9}[.)])[ \t]+|>)*)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block.

    Args:
        language: the first word behind the opening fence, in small letters; empty if there is none.
        content: the lines between the fences, without the indentation of the opening one.
        start: index in the text at which its first line begins.
        end: index in the text at which its last line ends.
    """

    language: str
    content: str
    start: int
    end: int


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a text; a last one that is not closed goes to the end of the text.

    A closing fence is made of the same sign, is at least as long as the opening one, stands alone and is indented by
    at most three spaces more. A line with a fence at both ends, which CommonMark reads as code within a line, is a
    block, too.
    """
    lines = text.splitlines(keepends=True)
    at, number = 0, 0
    while number < len(lines):
        line = lines[number]
        opens = _OPENS.match(line.rstrip("\r\n"))
        start, number, at = at, number + 1, at + len(line)
        if opens is None:
            continue
        sign, info = opens["fence"][0], opens["info"]
        if sign == "`" and "`" in info:
            if (within := _within(info, len(opens["fence"]))) is not None:
                yield Block(language=within[0], content=within[1], start=start, end=at)
            continue
        quoted = re.compile(rf"(?:[ \t]*>[ \t]?){{0,{opens['place'].count('>')}}}")
        indent = _width(quoted.sub("", opens["place"], count=1))
        closes = re.compile(rf"{re.escape(sign)}{{{len(opens['fence'])},}}[ \t]*$")
        content = []
        while number < len(lines):
            line = lines[number]
            number, at = number + 1, at + len(line)
            line = quoted.sub("", line, count=1)
            bare = line.strip()
            if closes.match(bare) and _width(line[: len(line) - len(line.lstrip())]) < indent + _TAB:
                break
            content.append(_outdented(line, indent))
        language = re.search(r"\w[\w+#-]*", info)
        yield Block(language=language[0].lower() if language else "", content="".join(content), start=start, end=at)


def fences(text: str) -> list[tuple[str, str]]:
    """Return (language, content) of the fenced blocks; a last one that is not closed counts too."""
    return [(block.language, block.content) for block in blocks(text)]


def _within(info: str, length: int) -> tuple[str, str] | None:
    """Return the language and code of a line that holds both its fences; None for any other line."""
    found = re.fullmatch(rf"([^`]+)`{{{length}}}[ \t]*", info)
    if not found or not found[1].strip():
        return None
    first, _, rest = found[1].strip().partition(" ")
    return (first.lower(), f"{rest.strip()}\n") if first.lower() in PYTHON else ("", f"{found[1].strip()}\n")


def _width(space: str) -> int:
    return len(space.expandtabs(_TAB))


def _outdented(line: str, indent: int) -> str:
    """Return a line without the indentation of the opening fence, as far as it has it."""
    bare = line.lstrip(" \t")
    width = _width(line[: len(line) - len(bare)])
    if not indent or not width:
        return line
    return " " * (width - indent) + bare if width > indent else bare
