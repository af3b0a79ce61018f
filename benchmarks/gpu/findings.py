"""What a check says: a number, what it may be at most, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how large the checks are.

    Args:
        device: what is compared with the CPU: ``cuda``, or ``cpu`` in a rehearsal.
        small: shapes of a rehearsal.
        folder: for what the checks write.
    """

    device: str
    small: bool
    folder: Path

    @property
    def on_gpu(self) -> bool:
        """Whether this is no rehearsal."""
        return self.device == "cuda"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report.

    Args:
        name: of what was measured.
        ok: whether it holds; None for what is only told.
        measured: the number, or words.
        bound: what it may be at most; None where nothing is demanded.
        because: where the bound comes from, or the unit.
    """

    name: str
    ok: bool | None
    measured: Any
    bound: float | None
    because: str


def within(name: str, measured: float, bound: float, because: str) -> Finding:
    """A number that has a largest value; NaN never passes."""
    return Finding(name=name, ok=measured <= bound, measured=measured, bound=bound, because=because)


def none_differs(name: str, differing: int, because: str) -> Finding:
    """A count of differences, of which there must be none."""
    return within(name, differing, 0, because)


def told(name: str, measured: Any, unit: str) -> Finding:
    """Something worth knowing, of which nothing is demanded."""
    return Finding(name=name, ok=None, measured=measured, bound=None, because=unit)
