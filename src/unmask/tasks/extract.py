"""Where an answer stands in a text: in boxes, in answer tags, after phrases such as "the answer is"."""

import re

from unmask.tasks.equal import is_equal
from unmask.tasks.fences import fences

_TAG = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_LONGEST, _MOST_BOXES, _MOST_JOINED = 50_000, 50, 12  # a model that writes boxes without end is not read without end
_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
# A token without braces, where a formula or a sentence ends behind it; a word of a sentence is none.
_BARE = re.compile(
    r"\\(?:boxed|fbox)[ \t]*([-+]?(?:\d+(?:[.,/]\d+)*|\.\d+|(?<=[ \t])[A-Za-z](?![A-Za-z])|\\[a-zA-Z]+))"
    r"(?=[ \t]*(?:[$.,;:!?)*\]]|\\[)\]]|\n|\Z))"
)
_FILL_IN = re.compile(
    r"[\s.?_\N{HORIZONTAL ELLIPSIS}]*|\\[lc]?dots|(?:\\text\w*\{)?[\[<(]?\s*(?:(?:your|the|my|final|correct)\s+)*"
    r"(?:answer|result|solution|expression)s?(?:\s+here)?\s*[\])>]?\}?",
    re.IGNORECASE,
)
_DRESS = re.compile(r"\\(?:text|mbox|mathrm)\s*\{([^{}]*)\}|\$|\\[()\[\],;:! ]|~|\\q?quad(?![a-z])|\*|\\ ")
_NAME = r"([A-Za-z])(?:_\{?\w+\}?)?\s*=\s*"
_JOINS = re.compile(rf"\s*(?:,|;|&|,?\s*(?:and|or)\b)\s*(?:{_NAME})?", re.IGNORECASE)
_NAMED = re.compile(rf"(?<![A-Za-z\\]){_NAME}$")
_VERB = r"\s+(?:is|was|are|(?:would|will|should|must) be|comes to|equals)\b|\s*[:=\N{FULLWIDTH COLON}]"
_PHRASE = re.compile(
    rf"\banswers?\b(?:\s+(?:to|for|in|of)\b[^.\n:=$]{{1,60}}?)?[*_]*(?:{_VERB})(?:[ \t*_]*:)?"
    r"(?:\s+(?:therefore|thus|then|hence|simply|just|clearly|exactly|indeed|equal to|given by))*|"
    r"^[ \t#>*_]*(?:the )?(?:final |correct )?answer[ \t*_]*$|^[ \t#>]*(?:\*\*|__)(?:final )?answer(?:\*\*|__)[ \t]+|"
    # Other languages: Chinese and Japanese, Spanish and Portuguese, French, German, Italian, Russian.
    r"\N{CJK UNIFIED IDEOGRAPH-7B54}(?:\N{CJK UNIFIED IDEOGRAPH-6848}|\N{HIRAGANA LETTER E})"
    r"(?:\N{CJK UNIFIED IDEOGRAPH-662F}|\N{CJK UNIFIED IDEOGRAPH-4E3A}|\N{CJK UNIFIED IDEOGRAPH-70BA}|"
    r"\N{HIRAGANA LETTER HA}|[:\N{FULLWIDTH COLON}])+|"
    r"\b(?:respuesta|resposta|r\u00e9ponse|Antwort|risposta|\u043e\u0442\u0432\u0435\u0442)(?: final\w*)?[*_]*"
    r"(?: es| \u00e9| est| ist| lautet| \u00e8|:)[:*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_MATH = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|\$([^$\n]+?)\$", re.DOTALL)
_ENDS = re.compile(r"\.(?=[\s*_`\"\N{RIGHT DOUBLE QUOTATION MARK}]|$)|\N{IDEOGRAPHIC FULL STOP}|\n")
_HTML = re.compile(r"</?(?:b|i|u|em|strong|p|br|span)/?>")
_RULE = re.compile(r"[ \t]*\n[-=]{3,}[ \t]*\n")
_CHOICE = re.compile(r"(?:option|choice) (?=\(?[A-J]\)?(?:\W|$))", re.IGNORECASE)
_LAST = re.compile(
    r"(\$[^$\n]{1,200}\$|\\\([^\n]{1,200}?\\\)|(?<!\S)[^\s\d]{0,20}\d\S{0,50})[*_]* is (?:the|our|my) "
    r"(?:final |correct )?answer\b"
)
# Where a reason, a remark or a second sentence begins.
_REMARK = re.compile(
    r"\s*[,;]\s+(?!(?:and|or|pi|sin|cos|tan|log|sqrt)\b)[a-z]{2,}|\s+(?:since|because|as (?!\\)|which|"
    r"so (?:we|the|that)\b|by (?:the|our)\b|and not\b|for the reason)|,\s+(?:I|As|Since|Because)\b|"
    r"\s+\((?!mod\b)[a-z]{3,}|"
    r"\s+[\N{EM DASH}\N{EN DASH}-]\s+[a-z]{2,}|:\s+[a-z]{2,}"
)
_NO_ANSWER = re.compile(
    r"not\b.*|.*\\?boxed\b(?!\s*\{).*|(?:\w+ )?(?:correct|right|wrong|incorrect|confirmed|verified|reasonable|"
    r"consistent|as follows|above|below)",
    re.IGNORECASE | re.DOTALL,
)
_MARKS = re.compile(r"^(?:\$|\\\(|[*_`]+)|(?:\$|\\\)|[*_`]+)$")
_MOST_PHRASES, _LONGEST_PHRASE = 50, 2_000


def last_box(text: str) -> str | None:
    r"""Return what stands in the last balanced box that holds an answer, not dots or "your answer"; None if none does.

    >>> last_box(r"\boxed{1} and \boxed{\frac{1}{2}}")
    '\\frac{1}{2}'
    >>> last_box(r"so \boxed{...} or \boxed{\frac{1}{2}"), last_box(r"I used \boxed notation")
    (None, None)
    """
    text = text[-_LONGEST:]
    found = _last_box(text, list(_BOX.finditer(text)))
    return found[1] if found else None


def boxed(text: str) -> str | None:
    r"""Return what stands in the last box, with the boxes before it that belong to the same answer; None without one.

    >>> boxed(r"$\boxed{3}$, $\boxed{5}$ and $\boxed{7}$"), boxed(r"\boxed{3}, no: \boxed{5}")
    ('3, 5, 7', '5')
    """
    text = text[-_LONGEST:]
    starts = list(_BOX.finditer(text))
    found: list[str] = []
    begin = None
    while len(found) < _MOST_JOINED and (box := _last_box(text if begin is None else text[:begin], starts)):
        place, inside, end = box
        if begin is not None and not _is_joined(text, place, end, begin):
            break
        found.insert(0, inside)
        begin, starts = place, [start for start in starts if start.start() < place]
    if len(found) > 1 and all(is_equal(found[-1], other) for other in found[:-1]):  # said twice
        return found[-1]
    return ", ".join(found) or None


def _last_box(text: str, starts: list[re.Match[str]]) -> tuple[int, str, int] | None:
    """Return where the last box begins, what is in it and where it ends; None if there is none."""
    for start in starts[: -_MOST_BOXES - 1 : -1]:
        if text[start.end() : start.end() + 1] == "{":
            inside = _braced(text, start.end())
            end = start.end() + len(inside or "") + 2
        else:
            bare = _BARE.match(text, start.start())
            inside, end = (bare[1], bare.end()) if bare else (None, 0)
        if inside is not None and not _FILL_IN.fullmatch(inside):
            return start.start(), inside.strip(), end
    return None


def _is_joined(text: str, place: int, end: int, begin: int) -> bool:
    """Return whether only a comma or "and" stands between two boxes, and both are of one name, as in x = 1 or x = 2."""
    between = _DRESS.sub(r"\1", text[end:begin]) if begin - end < 60 else ""
    joins = _JOINS.fullmatch(between)
    if not joins or not joins[1]:
        return joins is not None
    named = _NAMED.search(_DRESS.sub("", text[max(0, place - 30) : place]))
    return named is not None and named[1] == joins[1]


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


def last_tag(text: str) -> str | None:
    """Return what stands in the last ``<answer>`` tag; None if there is none or it is empty."""
    found = _TAG.findall(text)
    return found[-1].strip() or None if found else None


def last_phrase(text: str) -> str | None:
    """Return what follows the last "the answer is" or "Final Answer", without reasons and remarks behind it; else None.

    >>> last_phrase("The answer is 4. No: the answer is $3.5$. Done.")
    '3.5'
    >>> last_phrase("The answer is 5, since 2 + 3 = 5."), last_phrase("**Final Answer**: `7`")
    ('5', '7')
    """
    for found in list(_PHRASE.finditer(text))[: -_MOST_PHRASES - 1 : -1]:
        said = _said(text[found.end() : found.end() + _LONGEST_PHRASE])
        if said and not _NO_ANSWER.fullmatch(said):
            return said
    named = _LAST.findall(text[-_LONGEST_PHRASE:])
    return _MARKS.sub("", named[-1]) if named else None


def _said(rest: str) -> str:
    """Return an answer up to where its sentence ends or a remark begins."""
    rest = _HTML.sub("", _RULE.sub("\n", rest, count=1) if _RULE.match(rest) else rest).lstrip(" \t\r\n*:_>")
    rest = _CHOICE.sub("", rest, count=1) if _CHOICE.match(rest) else rest
    math = _MATH.match(rest)
    if math:
        inside, after = next(filter(None, math.groups())).strip(), _sentence(rest[math.end() :]).rstrip(" *_,;:")
        return f"{inside} {after.strip()}".strip() if not re.search(r"[\d$\\]", after) else _sentence(rest)
    said = _sentence(rest).strip(" \t\r*:,;").rstrip("_")
    quoted = re.fullmatch(
        r"(`+|__?|[\"'\N{LEFT DOUBLE QUOTATION MARK}])(.+?)(?:`+|__?|[\"'\N{RIGHT DOUBLE QUOTATION MARK}])", said
    )
    return quoted[2].strip() if quoted else said


def _sentence(text: str) -> str:
    text = _ENDS.split(text, maxsplit=1)[0]
    for remark in _REMARK.finditer(text):
        before = text[: remark.start()]
        if all(before.count(opening) <= before.count(closing) for opening, closing in ("()", "[]", "{}")):
            return before
    return text


__all__ = ["boxed", "fences", "last_box", "last_phrase", "last_tag"]
