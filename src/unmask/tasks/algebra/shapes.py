"""The shapes that an answer may have after it is read."""

from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from .units import Unit


@dataclass(frozen=True)
class Value:
    """An expression with its unit.

    ``rounded`` is whether it was written with a decimal point; ``word`` is its text if it is letters only.
    """

    value: Any
    unit: Unit = field(default_factory=Unit)
    rounded: bool = False
    word: str = ""


@dataclass(frozen=True)
class Words:
    """An answer in words, such as "east"."""

    text: str


@dataclass(frozen=True)
class Based:
    """A number in another base than ten."""

    digits: str
    base: int


@dataclass(frozen=True)
class Clock:
    """A time of day, or another count of minutes and seconds."""

    text: str
    unit: Unit


@dataclass(frozen=True)
class Ratio:
    """A ratio of two or more values, such as 1:2:3."""

    terms: tuple[Any, ...]


@dataclass(frozen=True)
class Listed:
    """Several answers; ``kind`` is how they stand: ``()``, ``[]``, ``(]``, ``[)``, ``{}``, or nothing around them."""

    kind: str
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Relation:
    """One relation; ``name`` is what stands left of an equals sign, if it is no more than a name."""

    sign: str
    left: Any
    right: Any
    name: str = ""


@dataclass(frozen=True)
class Joined:
    """Relations that all hold (``and``) or of which one does (``or``)."""

    word: str
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Region:
    """A set of numbers."""

    numbers: sp.Set
