"""Units of measure and counted things: which words name the same one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

_LENGTHS = {"m", "km", "cm", "mm", "dm", "inch", "foot", "yard", "mile"}
# The first word of a line is the name; plurals are read too.
_NAMES = """
m meter metre
km kilometer kilometre
cm centimeter centimetre
mm millimeter millimetre
dm decimeter decimetre
nm nanometer nanometre
micrometer micrometre micron um
inch inches in
foot feet ft
yard yd
mile mi
s second sec
ms millisecond
minute min
h hour hr
day
week wk
month
year yr
g gram gm
kg kilogram kilo
mg milligram
ton tonne
pound lb
ounce oz
l L liter litre
ml mL milliliter millilitre
cl centiliter centilitre
gallon gal
quart qt
pint pt
cup
tablespoon tbsp
teaspoon tsp
acre
hectare ha
dollar usd USD buck
cent
euro EUR
rupee Rs INR
yen
yuan renminbi RMB CNY
KRW
ruble rouble RUB
franc CHF
krona krone kr
peso
percent pct percentage
degree deg
celsius C
fahrenheit F
radian rad
newton N
joule J
kilojoule kJ
watt W
kilowatt kW
megawatt MW
kilowatthour kWh
decibel dB
volt V
ampere amp A
milliampere milliamp mA
ohm
kelvin K
pascal Pa
hertz Hz
kilohertz kHz
megahertz MHz
mole mol
am
pm
"""
_CANON = {word: line.split()[0] for line in _NAMES.strip().splitlines() for word in line.split()}
_COMPOUND = {  # a word: the powers it stands for
    "mph": {"mile": 1, "h": -1},
    **dict.fromkeys(("kmh", "kph", "kmph"), {"km": 1, "h": -1}),
    "mps": {"m": 1, "s": -1},
    "fps": {"foot": 1, "s": -1},
    "cc": {"cm": 3},
    "sqft": {"foot": 2},
    "sqm": {"m": 2},
    "unit": {},
}
_RAISED = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_RAISING = {"squared": 2, "cubed": 3}
# Words after a number that say more than what was counted.
_WORDS = """
or and more less fewer over under at least most plus minus times factorial mod modulo percent hundred thousand million
billion trillion dozen not choose to through except half halves third quarters fourth fifth sixth eighth tenth
hundredth thousandth approximately about around nearly almost base if when where but than is are was were with without
unless because since all any real otherwise then no none neither undefined infinite infinity up greater smaller bigger
between from until maybe possibly remainder pi theta alpha beta gamma delta lambda sigma omega sqrt root sin cos tan cot
sec csc log exp ln power squared cubed per divided multiplied by equal max min gcd lcm even odd prime only twice thrice
double triple negative positive above below beyond upwards onwards wrong incorrect false exclusive approx roughly
maximum minimum exceeding besides versus vs etc else instead ish
"""
_STOP = frozenset(_WORDS.split())
SYMBOLS = {
    r"\$": "dollar",
    "€": "euro",
    "£": "pound",
    "¥": "yen",
    "₹": "rupee",
    "₩": "KRW",
    "₽": "ruble",
    "元": "yuan",
    r"\%": "percent",
    "\\degree": "degree",
    "\\Omega": "ohm",
}
_BEFORE = (r"\$", "€", "£", "¥", "₹", "₩", "₽", *["USD", "EUR", "INR", "CNY", "RMB", "KRW", "CHF", "Rs"])
MONEY = {sign: SYMBOLS.get(sign) or _CANON[sign] for sign in _BEFORE}


@dataclass(frozen=True)
class Unit:
    """Powers of measures, and the words of what was counted."""

    powers: tuple[tuple[str, int], ...] = ()
    things: frozenset[str] = field(default_factory=frozenset)

    def times(self, other: "Unit") -> "Unit":
        """Return the product with another unit; a currency before a number and the same one behind it count once."""
        powers = dict(other.powers) | dict(self.powers)
        return Unit(tuple(sorted(powers.items())), self.things | other.things)

    def fits(self, other: "Unit") -> bool:
        """Return whether two units may be of the same answer: one names none, or both name the same one."""
        if self.powers and other.powers:
            return self.powers == other.powers
        if self.things and other.things:
            return self.things <= other.things or other.things <= self.things
        return not (self.powers and other.things or self.things and other.powers)


def unit_of(words: Sequence[str], loose: Sequence[bool]) -> Unit | None:
    r"""Return the unit that words and signs (``/ * - ^ \frac { }`` and numbers) name.

    >>> unit_of(["km", "/", "h"], [False] * 3) == unit_of(["kmh"], [False])
    True
    >>> unit_of(["more"], [False])

    Args:
        words: the tokens after a number.
        loose: which of them may be variables: m alone is no unit then, but m/s is.

    Returns:
        The unit; None if the words name none.
    """
    if len(words) > 2 and words[0] == "of" and words[1] in ("a", "an", "the"):  # 3/4 of a cup
        words, loose = words[2:], loose[2:]
    reading = _Reading([*words, ""], loose)
    reading.sequence("", -1 if reading.skip("/", "per") else 1)
    if reading.failed or reading.index < len(words) or reading.things and words[0] == "/":
        return None
    powers = tuple(sorted((name, power) for name, power in reading.powers.items() if power))
    if reading.has_loose and len(powers) < 2:
        return None
    return Unit(powers, frozenset(reading.things))


class _Reading:
    def __init__(self, words: list[str], loose: Sequence[bool]) -> None:
        self.words, self.loose = words, loose
        self.index, self.failed, self.has_loose = 0, False, False
        self.powers: dict[str, int] = {}
        self.things: set[str] = set()

    def sequence(self, end: str, sign: int = 1) -> None:
        """Read factors up to the word ``end``; ``sign`` -1 puts them under a fraction bar."""
        self._factor(sign)
        while not self.failed and self.words[self.index] != end:
            word = self.words[self.index]
            self.index += word in ("/", "per", "*", "-")
            self._factor(-sign if word in ("/", "per") else sign)

    def _factor(self, sign: int) -> None:
        word, before = self._next(), 1
        if word.lower() in _RAISED:
            self.skip(".")
            before, word = _RAISED[word.lower()], self._next()
        if word == "\\frac":
            self._group(sign)
            self._group(-sign)
            return
        terms = self._factors(word)
        if terms is None:
            self.failed = True
            return
        self.skip(".")
        power = before * self._power()
        if power == 1 and terms and terms.keys() <= _LENGTHS and self.words[self.index :] in (["2", ""], ["3", ""]):
            power = int(self._next())  # cm2
        for name, times in terms.items():
            self.powers[name] = self.powers.get(name, 0) + sign * power * times

    def _factors(self, word: str) -> dict[str, int] | None:
        """Return the powers that a word stands for; None if it is not part of a unit."""
        if word in SYMBOLS:
            return {SYMBOLS[word]: 1}
        if len(word) == 1 and word in _CANON:
            self.has_loose |= self.loose[self.index - 1] and "degree" not in self.powers
            return {_CANON[word]: 1}
        for name in (word, word.lower(), word.lower().removesuffix("s"), word.lower().removesuffix("es")):
            if name in _CANON and len(name) > 1:
                return {_CANON[name]: 1}
            if name in _COMPOUND:
                return _COMPOUND[name]
        if word.lower() in ("a", "p") and self.words[self.index : self.index + 2] == [".", "m"]:  # p.m.
            self.index += 2
            return {f"{word.lower()}m": 1}
        word = word if word.isupper() else word.lower()
        if (
            word.isalpha()
            and word.islower()
            and (len(word) > 2 or self.things)
            and not {word, word.removesuffix("s")} & _STOP
        ):
            self.things.add(word if word.endswith("ss") else word.removesuffix("s"))
            return {}
        return None

    def _power(self) -> int:
        word = self.words[self.index]
        if word.lower() in _RAISING:
            self.index += 1
            return _RAISING[word.lower()]
        if word != "^":
            return 1
        self.index += 1
        braced = self.skip("{")
        sign = -1 if self.skip("-") else 1
        number = self._next()
        if braced and not self.skip("}") or not number.isdecimal() or len(number) > 1:
            self.failed = True
            return 1
        return sign * int(number)

    def _group(self, sign: int) -> None:
        if not self.skip("{"):
            self.failed = True
            return
        self.sequence("}", sign)
        self.failed |= not self.skip("}")

    def _next(self) -> str:
        word = self.words[self.index]
        self.index += 1 if word else 0
        self.failed |= not word
        return word

    def skip(self, *words: str) -> bool:
        """Step over the next word if it is one of these; return whether it was."""
        found = self.words[self.index] in words
        self.index += found
        return found
