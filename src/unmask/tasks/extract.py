r"""Where an answer stands in a text: boxes, answer tags, fences, phrases."""

import re

_TAG = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_PHRASE = re.compile(r"\banswer(?:\s+is|\s*:|\s*=)\s*:?", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_LONGEST, _MOST_BOXES = 50_000, 50  # a model that writes boxes without end is not read without end
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")


def last_box(text: str) -> str | None:
    r"""Return what stands in the last balanced box that holds more than dots.

    >>> last_box(r"\boxed{1} and \boxed{\frac{1}{2}}")
    '\\frac{1}{2}'
    >>> last_box(r"so \boxed{...} or \boxed{\frac{1}{2}")
    """
    text = text[-_LONGEST:]
    for start in list(_BOX.finditer(text))[: -_MOST_BOXES - 1 : -1]:
        inside = _braced(text, start.end()) if text[start.end() : start.end() + 1] == "{" else _bare(text, start)
        if inside is not None and inside.strip(" .\n"):
            return inside.strip()
    return None


def _braced(text: str, begin: int) -> str | None:
    depth, escaped = 0, False
    for index in range(begin, len(text)):
        char = text[index]
        if not escaped and char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return text[begin + 1 : index]
        escaped = char == "\\" and not escaped
    return None


def _bare(text: str, start: re.Match[str]) -> str | None:
    r"""Read ``\boxed 5``, as some solutions write it."""
    found = re.match(r"[-+]?[\w.,/]*\w", text[start.end() :])
    return found[0] if found and start[0][-1].isspace() else None


def last_tag(text: str) -> str | None:
    """Return what stands in the last ``<answer>`` tag."""
    found = _TAG.findall(text)
    return found[-1].strip() or None if found else None


def last_phrase(text: str) -> str | None:
    """Return what follows the last "the answer is", up to the end of the sentence.

    >>> last_phrase("The answer is 4. No: the answer is $3.5$. Done.")
    '3.5'
    """
    found = list(_PHRASE.finditer(text))
    if not found:
        return None
    sentence = re.split(r"\.(?:\s|$)|\n", text[found[-1].end() :].strip(" *:\n"))[0].strip(" *:")
    math = re.fullmatch(r"\$(.+)\$|\\\((.+)\\\)|\\\[(.+)\\\]", sentence)
    return (next(filter(None, math.groups())) if math else sentence).strip() or None


def fences(text: str) -> list[tuple[str, str]]:
    """Return (language, content) of the fenced blocks; a last one that is not closed counts too."""
    return [(language.lower(), content) for language, content in _FENCE.findall(text)]
