"""The tables of an analysis in a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from unmask.plots.panels import brief, ratio_label, shorten

Row = Mapping[str, Any]
MOST_TOKENS = 10


def analysis_tables(found: Mapping[str, Any]) -> Iterator[Table | Text]:
    """Yield the tables of ``Findings.as_dict``, those of a model under its name."""
    for name, rows in groupby(found["learnability"], key=_model):
        yield Text(f"\n{shorten(name, 70)}", "bold")
        cells, totals = list(rows), [row for row in found["totals"] if row["model"] == name]
        yield _grid("Gold confidence; below, tokens predicted", cells, totals, _confidence)
        yield _grid("Learnability; below, information gained (nats)", cells, totals, _learnability)
        yield _tokens([row for row in found["tokens"] if row["model"] == name])
    if "changes" in found:
        yield Text(f"\nfrom {shorten(found['models'][0], 35)} to {shorten(found['models'][1], 35)}", "bold")
        yield _grid("Change of gold confidence; below, its standard error", found["changes"], [], _change)
    for name, rows in groupby(found.get("mismatch", []), key=_model):
        yield Text(f"\n{shorten(name, 70)}", "bold")
        yield _contexts(list(rows))


def _model(row: Row) -> str:
    return str(row["model"])


def _confidence(row: Row) -> tuple[str, str]:
    return _number(row["gold"]), brief(row["count"])


def _learnability(row: Row) -> tuple[str, str]:
    return _number(row["learnability"]), _number(row["information"], "+.2f")


def _change(row: Row) -> tuple[str, str]:
    return _number(row["gold"], "+.3f"), f"±{_number(row['gold_error'])}"


def _grid(title: str, cells: Sequence[Row], totals: Sequence[Row], write: Callable[[Row], tuple[str, str]]) -> Table:
    """Return a table of bins by noise level; each cell has a number and, dim below it, another."""
    table = _by_ratio(title, ("bin", "tokens"), cells)
    for _, rows in groupby(cells, key=lambda row: row["bin"]):
        group = list(rows)
        head = group[0]
        times = "-".join(dict.fromkeys((brief(head["least"]), brief(head["most"]))))
        table.add_row(
            str(head["bin"]), _cell((brief(head["ids"]), f"{times} ×")), *(_cell(write(row)) for row in group)
        )
    if totals:
        table.add_section()
        table.add_row("all", "", *(_cell(write(row)) for row in totals))
    return table


def _tokens(rows: Sequence[Row]) -> Table:
    table = _by_ratio("Gold confidence of the most frequent tokens", ("token", "times"), rows)
    for index, (_, group) in enumerate(groupby(rows, key=lambda row: row["id"])):
        if index == MOST_TOKENS:
            break
        cells = list(group)
        table.add_row(Text(_visible(cells[0]["token"])), brief(cells[0]["occurrences"]),
                      *(_number(cell["gold"]) for cell in cells))  # fmt: skip
    return table


def _by_ratio(title: str, heads: Sequence[str], rows: Sequence[Row]) -> Table:
    table = _empty_table(title)
    for head in heads:
        table.add_column(head)
    for ratio in sorted({row["ratio"] for row in rows}):
        table.add_column(f"t={ratio_label(ratio)}", justify="right")
    return table


def _empty_table(title: str) -> Table:
    """Return a table without lines between columns: seven noise levels fit a terminal of 80 columns."""
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _contexts(rows: Sequence[Row]) -> Table:
    table = _empty_table("Gradients in other contexts, against the aligned one")
    table.add_column("context")
    for head in ("rate", "distance", "cosine", "loss", "P(hidden)", "P(visible)"):
        table.add_column(head, justify="right")
    for row in rows:
        values = (_number(row[kind]) for kind in ("distance", "cosine", "loss", "prefix_chance", "suffix_chance"))
        rate = "" if row["rate"] is None else f"{row['rate']:g}"
        table.add_row(row["context"].replace("_", " "), rate, *values)
    return table


def _cell(lines: tuple[str, str]) -> Text:
    return Text.assemble(lines[0], "\n", (lines[1], "dim"))


def _number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def _visible(token: str) -> str:
    return token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
