"""Names for the replaceable parts: a method is one frozen dataclass in one file, registered under its recipe name."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from unmask.errors import UserError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from the names that recipes use to the classes behind them.

    >>> colours = Registry[object]("colour")
    >>> @colours.register("red")
    ... class Red: ...
    >>> colours["red"].__name__
    'Red'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Return a class decorator that enters the class under ``name`` and tells the class its name."""

        def enter(cls: type[T]) -> type[T]:
            if name in self._classes:
                raise ValueError(f"{self.kind} '{name}' is registered twice: {self._classes[name]} and {cls}")
            self._classes[name] = cls
            cls.name = name  # type: ignore[attr-defined]  # every registered part carries its recipe name
            return cls

        return enter

    def __getitem__(self, name: str) -> type[T]:
        if name not in self._classes:
            raise UserError(f"unknown {self.kind} '{name}'; {did_you_mean(name, self._classes)}")
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._classes))

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __len__(self) -> int:
        return len(self._classes)
