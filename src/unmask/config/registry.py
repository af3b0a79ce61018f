"""Components by the names that recipes use, imported when they are first needed.

What ships with unmask stands in ``components.json``, which ``make index`` writes from the files that register
something. What comes from outside is imported by ``unmask.config.plugins``.
"""

import functools
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

from unmask.config.plugins import load_installed
from unmask.errors import UserError, did_you_mean

E = TypeVar("E")
T = TypeVar("T")
INDEX = Path(__file__).parents[1] / "components.json"
REGISTRIES: dict[str, "Names[Any]"] = {}
"""Kind -> registry, of the modules that were imported so far."""


class Entry(TypedDict):
    """What the index holds about a component.

    Args:
        module: that registers it.
        object: its name there.
        summary: first line of its docstring.
        source: the paper or page that it follows; None where none is named.
        fields: names of its settings.
    """

    module: str
    object: str
    summary: str
    source: str | None
    fields: list[str]


@functools.cache
def read_index() -> dict[str, dict[str, Entry]]:
    """Return kind -> name -> entry of what ships with unmask; nothing of it is imported."""
    index: dict[str, dict[str, Entry]] = json.loads(INDEX.read_text(encoding="utf-8"))
    return index


class Names(Generic[E]):
    """A mapping from names to what was entered under them.

    Args:
        kind: what they are, for messages and for the index.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entered: dict[str, E] = {}
        self._owners: dict[str, str] = {}
        REGISTRIES[kind] = self

    def add(self, name: str, entry: E, module: str) -> None:
        """Enter something under a name. A module that is run again (in a notebook) may replace what it entered.

        Args:
            name: that recipes use.
            entry: what it stands for.
            module: ``__name__`` of the module that enters it.

        Raises:
            UserError: the name is taken.
        """
        owner = self._shipped[name]["module"] if name in self._shipped else self._owners.get(name)
        before = getattr(self._entered.get(name), "__qualname__", None)
        if owner not in (None, module) or before not in (None, getattr(entry, "__qualname__", None)):
            raise UserError(
                f"the {self.kind} '{name}' is there already, from {owner}; register {module}'s by another name"
            )
        self._entered[name], self._owners[name] = entry, module

    def __getitem__(self, name: str) -> E:
        if name not in self:
            raise UserError(f"unknown {self.kind} '{name}'; {did_you_mean(name, self)}")
        if name not in self._entered:
            importlib.import_module(self._shipped[name]["module"])
        return self._entered[name]

    def get(self, name: str) -> E | None:
        """Return what was entered under a name, None if nothing was."""
        return self[name] if name in self else None  # noqa: SIM401  # this is the get

    def __iter__(self) -> Iterator[str]:
        load_installed()
        return iter(sorted({*self._shipped, *self._entered}))

    def __contains__(self, name: object) -> bool:
        if name not in self._entered and name not in self._shipped:
            load_installed()
        return name in self._entered or name in self._shipped

    def __len__(self) -> int:
        return len(list(iter(self)))

    def entries(self) -> dict[str, Entry]:
        """Return name -> index entry of what was entered so far, in the order of the names."""
        return {name: describe(self._entered[name], self._owners[name]) for name in sorted(self._entered)}

    @property
    def _shipped(self) -> Mapping[str, Entry]:
        return read_index().get(self.kind, {})


class Registry(Names[type[T]]):
    """A mapping from names to classes: a method is one frozen dataclass in one file.

    >>> colours = Registry[object]("colour")
    >>> @colours.register("red")
    ... class Red:
    ...     "Nothing else."
    >>> colours["red"].__name__
    'Red'
    """

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Return a class decorator that enters the class under ``name`` and sets its attribute ``name``."""

        def enter(cls: type[T]) -> type[T]:
            self.add(name, cls, cls.__module__)
            cls.name = name  # type: ignore[attr-defined]  # every registered component carries its recipe name
            return cls

        return enter


def listings() -> dict[str, dict[str, Entry]]:
    """Return kind -> name -> entry of all components: what ships with unmask, and what plugins registered."""
    load_installed()
    listing = {kind: dict(entries) for kind, entries in read_index().items()}
    for kind, names in REGISTRIES.items():
        listing[kind] = listing.get(kind, {}) | names.entries()
    return listing


def has_plugins() -> bool:
    """Return whether something is registered that does not ship with unmask."""
    index = read_index()
    return any(entries.keys() - index.get(kind, {}).keys() for kind, entries in listings().items())


def describe(entry: Any, module: str) -> Entry:
    """Return the index entry of a registered class or value.

    Args:
        entry: with a docstring that may name its source: ``Source: …``, or the number of a paper on arXiv.
        module: that registered it.

    Returns:
        Module, object, first line of the docstring, source, and names of the fields.
    """
    is_class = isinstance(entry, type)
    there = vars(sys.modules[module])
    doc = inspect.cleandoc(entry.__doc__ or "") if is_class else getattr(entry, "name", "")
    return {
        "module": module,
        "object": entry.__name__ if is_class else next((name for name, value in there.items() if value is entry), ""),
        "summary": doc.partition("\n")[0].replace("``", ""),
        "source": source_of(doc),
        "fields": [field.name for field in fields(entry)] if is_class and is_dataclass(entry) else [],
    }


def name_of(component: object) -> str:
    """Return the name that a component was registered under; empty for one that was not."""
    return str(getattr(component, "name", ""))


def source_of(doc: str) -> str | None:
    r"""Return what a docstring names as its source, None if it names none.

    >>> source_of("Draws t.\n\nSource: unpublished")
    'unpublished'
    >>> source_of("Blockwise SFT (arXiv 2508.19529).")
    'arXiv 2508.19529'
    """
    found = re.search(r"^Source: (.+)$", doc, re.MULTILINE) or re.search(r"(arXiv \d{4}\.\d{5})", doc)
    return found[1].rstrip(".") if found else None


def lazy(package: str, *others: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package: its components are imported when they are first named.

    ``make index`` writes their names into the package's ``__init__.pyi``, for type checkers and editors.

    Args:
        package: its dotted name.
        *others: packages whose components it offers, too.

    Returns:
        The two functions, for the package's module to define.
    """
    inside = tuple(f"{each}." for each in (package, *others))
    entries = (entry for names in read_index().values() for entry in names.values())
    homes = {entry["object"]: entry["module"] for entry in entries if entry["module"].startswith(inside)}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *homes})
