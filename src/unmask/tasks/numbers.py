"""Numbers as people write them, compared exactly."""

import re
from fractions import Fraction

_WRAPPED = re.compile(r"^\\(?:text|textbf|mathrm|mathbf|mbox|boldsymbol)\s*\{([^{}]*)\}$")
SPACE = r"(?:\\[,;:! ]|\\q?quad\b|~|\s)"
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?P<digits>\d{1,3}(?:,\d{3})+|\d+)?(?P<rest>\.\d*)?"
    r"(?:(?:[eE]|(?:\\times|\\cdot|[*x×])10\^)\{?(?P<power>[-+]?\d{1,3})\}?)?"
)
# A unit in \text, or in plain words; words that make another number of it are none.
_UNIT = re.compile(
    rf"(?<=\d){SPACE}*(?:\\(?:text|mathrm|mbox)\s*\{{[^{{}}]*\}}(?:\^\{{?\d\}}?)?|"
    r"\s(?!(?:and|or|plus|minus|times|squared|cubed|factorial|mod|percent|hundred|thousand|million|billion)\b)"
    r"(?:[A-Za-z][a-z]{2,}(?: [a-z]+)*|(?:mm|cm|km|in|ft)(?:\^\{?[23]\}?)?))\.?$"
)
_LONGEST = 100


def number_of(text: str) -> Fraction | None:
    r"""Return the value of a text that is one decimal number, else None.

    Separators, a currency, a name before it and a degree sign after it may be there.

    >>> number_of(r"\$1{,}200.50"), number_of("n = 007"), number_of(r"2.5\times 10^{3}")
    (Fraction(2401, 2), Fraction(7, 1), Fraction(2500, 1))
    >>> number_of("1/2"), number_of("3, 4")
    (None, None)
    """
    if len(text) > _LONGEST:
        return None
    bare = re.sub(rf"(?<=\d){SPACE}+(?=\d{{3}}(?!\d))", "", undressed(text))
    if re.search(rf"\d{SPACE}+\d", bare):  # two numbers
        return None
    bare = re.sub(SPACE, "", bare).replace("{,}", ",")
    bare = re.sub(r"^(?:[a-zA-Z]+|\\[a-z]+|[a-zA-Z\d+]{1,12})=", "", bare)
    bare = re.sub(r"\^\{?\\circ\}?$|°$", "", bare)
    bare = re.sub(r"^([-+]?)(?:\\?\$|€|£)([-+]?)", r"\1\2", bare)
    found = _NUMBER.fullmatch(bare)
    if not found or not (found["digits"] or re.search(r"\d", found["rest"] or "")):
        return None
    digits = (found["digits"] or "0").replace(",", "") + (found["rest"] or "").removesuffix(".")
    return Fraction(f"{found['sign']}{digits}e{found['power'] or 0}")


def undressed(text: str) -> str:
    r"""Return a text without what means nothing: dollars around it, ``\text``, ``\left``, a full stop, a Unicode minus.

    >>> undressed(r"$\text{42}.$")
    '42'
    """
    text = text.replace("\N{MINUS SIGN}", "-").strip()
    for _ in range(4):
        before = text
        text = re.sub(r"^(?:\$\$?|\\\(|\\\[)(.*?)(?:\$\$?|\\\)|\\\])$", r"\1", text, flags=re.DOTALL)
        text = _WRAPPED.sub(r"\1", text)
        text = text.strip().removesuffix(".").strip()
        if text == before:
            break
    return re.sub(r"\\(?:left|right)(?![a-z])", "", text)


def without_unit(text: str) -> str:
    r"""Return a text without the unit after its number.

    >>> without_unit("36 dollars"), without_unit(r"33 \text{ ways}"), without_unit("4 cm^2"), without_unit("3 and more")
    ('36', '33', '4', '3 and more')
    """
    return _UNIT.sub("", text)
