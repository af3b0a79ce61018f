"""Counts of rows: how many were used, and why the others were not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unmask.data.fields import glimpse
from unmask.data.records import BadRow
from unmask.errors import UserError

TOO_LONG = ("prompt too long", "answer too long")
"""Reasons to which the setting ``too_long`` applies; to all others, ``on_bad``."""


@dataclass(kw_only=True)
class Skipped:
    """Rows or answers left out for one reason.

    Args:
        count: how many there are.
        source: of the first of them.
        detail: what was expected and found there.
    """

    count: int
    source: str
    detail: str


@dataclass(kw_only=True)
class Report:
    """Counts of one encoding.

    Args:
        rows: read.
        examples: answers that can be trained on; a conversation may give several.
        skipped: reason -> what was left out for it. Counted in answers, or in rows whose answers cannot be counted.
        truncated: examples whose answer was cut, and which therefore do not show where an answer ends.
        unused: columns, and keys of turns, that matter in training and are not used here -> rows that hold something.
        unread: all other columns and keys of turns that are not read -> rows that hold something.
        thoughts: answers in a thinking section that their prompt opens and they do not close.
        texts: rows that are a text without a prompt.
        chunks: examples that these were cut into.
    """

    rows: int = 0
    examples: int = 0
    skipped: dict[str, Skipped] = field(default_factory=dict)
    truncated: int = 0
    unused: dict[str, int] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    thoughts: int = 0
    texts: int = 0
    chunks: int = 0

    def leave(self, *, unused: Iterable[str], unread: Iterable[str]) -> None:
        """Count the columns of one row that are not read.

        Args:
            unused: those that matter in training.
            unread: all others.
        """
        for counts, names in ((self.unused, unused), (self.unread, unread)):
            for name in names:
                counts[name] = counts.get(name, 0) + 1

    def remarks(self, *, unread: bool = False) -> list[str]:
        """Return a line each on rows left out or cut, unused columns, and, if ``unread``, the other unread columns."""
        lines = [self.summary()] if self.skipped or self.truncated else []
        if self.texts:
            lines.append(
                f"{self.texts} row{'s'[: self.texts > 1]} of text: every token is trained, in {self.chunks} "
                f"example{'s'[: self.chunks > 1]}"
            )
        if self.thoughts:
            lines.append(
                f"the template opens a thinking section that {self.thoughts} answer{'s'[: self.thoughts > 1]} without "
                "thinking stand in and do not close; write '</think>' in front of them, or use another template"
            )
        if self.unused:
            lines.append(f"columns that matter in training and are not used here: {_counted(self.unused)}")
        if unread and self.unread:
            lines.append(f"columns that no one reads: {_counted(self.unread)}")
        return lines

    def skip(self, source: str, fault: BadRow) -> None:
        """Count a row or answer that is left out.

        Args:
            source: of the row.
            fault: why it cannot be used.
        """
        entry = self.skipped.setdefault(fault.reason, Skipped(count=0, source=source, detail=fault.detail))
        entry.count += 1

    def check(self, tolerated: Mapping[str, bool]) -> None:
        """Check that examples are left, and that rows were left out only for reasons that are tolerated.

        Args:
            tolerated: reason -> whether such rows may be left out; the key ``""`` stands for all other reasons.

        Raises:
            UserError: no examples are left, or a reason is not tolerated; names the first row of each reason.
        """
        wrong = {r: s for r, s in self.skipped.items() if not tolerated.get(r, tolerated[""])}
        if not wrong and self.examples:
            return
        long = wrong.keys() & set(TOO_LONG) if wrong else self.skipped.keys() & set(TOO_LONG)
        mend = ["raise data.max_length or data.canvas"] if long else []
        mend += ["mend them"] if (wrong or self.skipped).keys() - long else []
        if self.examples:
            switches = (["data.too_long"] if long else []) + (["data.on_bad"] if wrong.keys() - long else [])
            remedy = f"{' and '.join(mend)}, or write {' and '.join(f'{s}=skip' for s in switches)} to leave them out"
        else:
            remedy = f"no usable row is left: {' and '.join(mend)}"
        raise UserError(f"{self._why(wrong or self.skipped)}; {remedy}")

    def summary(self) -> str:
        """Return one line with the numbers of rows and examples, and what was left out and why."""
        line = f"{self.rows} rows, {self.examples} examples"
        if self.truncated:
            line += f", {self.truncated} truncated (they show no end of an answer)"
        return f"{line}; left out: {self._why(self.skipped)}" if self.skipped else line

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON types."""
        return {
            "rows": self.rows,
            "examples": self.examples,
            "truncated": self.truncated,
            "skipped": {
                reason: {"count": entry.count, "place": entry.source, "detail": entry.detail}
                for reason, entry in self.skipped.items()
            },
            **({"unused": dict(self.unused)} if self.unused else {}),
            **({"unread": dict(self.unread)} if self.unread else {}),
            **({"thoughts": self.thoughts} if self.thoughts else {}),
            **({"texts": self.texts, "chunks": self.chunks} if self.texts else {}),
        }

    def _why(self, skipped: Mapping[str, Skipped]) -> str:
        """Return, for each reason, the first row, its fault and how often the reason occurs."""
        total = self.examples + sum(entry.count for entry in self.skipped.values())
        parts = [f"{s.source}: {s.detail} ({reason}: {s.count} of {total})" for reason, s in skipped.items()]
        return "; ".join(parts)


def _counted(columns: Mapping[str, int]) -> str:
    return ", ".join(
        f"{glimpse(name) or repr(name)} ({count} row{'s'[: count > 1]})" for name, count in columns.items()
    )
