"""A training run in a terminal while it goes on: how far it is, its loss, what it answers."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from unmask.errors import printable
from unmask.plots.braille import bar, curves
from unmask.plots.flow import MARKS

TRAINING, HELD_OUT, BOUND = "#6db6ff", "bold #d9b300", "bold #d55e00"
BUCKETS = 600
"""Stretches of a run whose losses are averaged; a terminal is narrower."""
RECENT = 50
"""Steps over which the loss by noise level and by block is averaged."""
SHORT = {"held_out_loss": "held out", "held_out_bound": "bound"}
BINS, SHOWN = 8, 2
"""Bars of a panel, and answers."""
NAMES = {"held_out_loss": "held-out loss", "held_out_bound": "held-out bound", "accuracy": "accuracy"}


class Board:
    """What is known of a run, and its picture.

    Args:
        name: of the run, such as its folder.
        metric: by which the best step is known.
    """

    def __init__(self, name: str, metric: str = "held_out_loss") -> None:
        self.name, self.metric = name, metric
        self.step, self.steps = 0, 1
        self.last: dict[str, Any] = {}
        self.measured: dict[str, list[tuple[float, float]]] = {}
        self.rows: Sequence[Mapping[str, Any]] = ()
        self._losses: dict[int, tuple[float, int]] = {}
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=RECENT)
        self._first = (0, time.monotonic())

    def start(self, step: int, steps: int, lines: Sequence[Mapping[str, Any]]) -> None:
        """Begin at a step of so many, with the lines of ``metrics.jsonl`` so far."""
        self.steps = max(steps, 1)
        for line in lines:
            self.update(line)
        self.step, self._first = step, (step, time.monotonic())

    def update(self, values: Mapping[str, Any]) -> None:
        """Store the values of a step; the same step may come again with those of an evaluation."""
        step, is_new = values["step"], values["step"] != self.last.get("step")
        if is_new and "loss" in values:
            bucket = step * BUCKETS // self.steps
            total, count = self._losses.get(bucket, (0.0, 0))
            self._losses[bucket] = total + values["loss"], count + 1
            self._recent.append(values)
        for name in NAMES:
            if name in values and (is_new or name not in self.last):
                self.measured.setdefault(name, []).append((step, values[name]))
        self.last = dict(values) if is_new else self.last | dict(values)
        self.step = step

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store the newest answers to held-out prompts, to be drawn."""
        self.rows = rows

    def picture(self, width: int, height: int) -> RenderableType:
        """Return the picture, of at most ``width`` letters; what ``height`` lines do not hold is left out."""
        wide = width >= 76
        chart = min(max(height - 17 - 3 * len(self.rows[:SHOWN]), 4), 14)
        side = 36 if wide else 0
        numbers = self._numbers()
        tall = max(chart + 3, numbers.row_count + 2) if wide else None
        curve = [*self._curves(width - side - 4, chart if tall is None else tall - 3), self._legend()]
        first = Panel(Group(*curve), title="loss, nats", border_style="dim", height=tall)
        second = Panel(numbers, title="now", border_style="dim", height=tall)
        parts: list[RenderableType] = [self._progress(width)]
        parts += [_beside([first, second], [width - side, side])] if wide else [first, second]
        left = height - 2 - (tall or chart + numbers.row_count + 5)
        below = [self._bars(title, name) for title, name in BARS if self._mean(name)]
        bars = 2 + BINS if wide else (2 + BINS) * len(below)
        if below and bars <= left:
            parts += [_beside(below, [width // len(below)] * len(below))] if wide else below
            left -= bars
        if self.rows and 2 + 3 * len(self.rows[:SHOWN]) <= left:
            parts.append(Panel(self._answers(), title=f"answers at step {self.rows[0]['step']:,}", border_style="dim"))
        return Group(*parts)

    def _progress(self, width: int) -> RenderableType:
        line = Text(f"{self.name}  ", "bold", no_wrap=True, overflow="ellipsis")
        line.append(f"step {self.step:,} of {self.steps:,}{self._left()} ", "not bold")
        bar_width = max(min(40, width - line.cell_len - 2), 8)
        return _beside(
            [line, ProgressBar(total=self.steps, completed=self.step, width=bar_width)], [width - bar_width, bar_width]
        )

    def _left(self) -> str:
        done = self.step - self._first[0]
        if done <= 0 or self.step >= self.steps:
            return ""
        left = round((time.monotonic() - self._first[1]) / done * (self.steps - self.step))
        return f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"

    def _curves(self, width: int, height: int) -> list[Text]:
        losses = sorted(self._losses.items())
        window = max(1, len(losses) // 20)
        near = [[mean for _, mean in losses[max(0, i - window + 1) : i + 1]] for i in range(len(losses))]
        series: dict[str, Sequence[tuple[float, float]]] = {
            TRAINING: [
                ((bucket + 0.5) * self.steps / BUCKETS, sum(total for total, _ in part) / sum(n for _, n in part))
                for (bucket, _), part in zip(losses, near, strict=True)
            ]
        }
        series |= {
            style: self.measured[name]
            for name, style in (("held_out_loss", HELD_OUT), ("held_out_bound", BOUND))
            if name in self.measured
        }
        return curves(series, width=width, height=height, right=self.steps, joined=(TRAINING, HELD_OUT, BOUND))

    def _legend(self) -> Text:
        line = Text("⠤ training, smoothed", TRAINING)
        for name, style in (("held_out_loss", HELD_OUT), ("held_out_bound", BOUND)):
            if name in self.measured:
                line.append(f"   ⠤ {SHORT[name]}", style)
        return line

    def _numbers(self) -> Table:
        table = Table.grid(padding=(0, 1))
        last = self.last
        rows = [("loss", f"{last['loss']:.4f}")] if "loss" in last else []
        rows += [(NAMES[name], f"{points[-1][1]:.4f}") for name, points in self.measured.items()]
        if best := self._best():
            rows.append(("best", f"{best[1]:.4f}, step {best[0]:,}"))
        for name, title, form in (
            ("lr", "learning rate", ".3g"), ("grad_norm", "gradient norm", ".3g"), ("masked_share", "masked", ".0%"),
            ("tokens_per_second", "tokens/s", ",.0f"), ("supervised_tokens_per_second", "supervised/s", ",.0f"),
        ):  # fmt: skip
            if name in last:
                rows.append((title, format(last[name], form)))
        for title, value in rows:
            table.add_row(Text(title, "cyan"), Text(value))
        return table

    def _best(self) -> tuple[float, float] | None:
        points = [point for point in self.measured.get(self.metric, ()) if point[0] > 0]
        if not points:
            return None
        return (max if self.metric == "accuracy" else min)(points, key=lambda point: point[1])

    def _mean(self, name: str) -> list[float | None]:
        """Return the mean of each entry over the recent steps that have it; an empty list where none has."""
        lists = [values[name] for values in self._recent if name in values]
        means: list[float | None] = []
        for entries in zip(*lists, strict=True):
            there = [entry for entry in entries if entry is not None]
            means.append(sum(there) / len(there) if there else None)
        return means

    def _bars(self, title: str, name: str) -> Panel:
        means, table = self._mean(name), Table.grid(padding=(0, 1))
        most = max((mean for mean in means if mean is not None), default=1.0)
        for index, mean in enumerate(means):
            if name == "nll_by_noise_level":
                label = f"{index / len(means):.3g}–{(index + 1) / len(means):.3g}"
            else:
                label = f"block {index}{'+' if index == len(means) - 1 else ''}"
                if mean is None and not any(means[index:]):
                    break
            value = Text("–", "dim") if mean is None else Text(f"{mean:.3f}")
            table.add_row(
                Text(label, "cyan"),
                value,
                Text(bar((mean or 0.0) / max(most, 1e-9), 16), TRAINING),
            )
        return Panel(table, title=title, border_style="dim")

    def _answers(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for row in self.rows[:SHOWN]:
            for title, key, style in (
                ("asked", "prompt", ""),
                ("expected", "expected", "dim"),
                ("answered", "text", "bold"),
            ):
                text = printable(str(row[key])).translate(MARKS)
                table.add_row(Text(title, "cyan"), Text(_cut(text, key), style, no_wrap=True, overflow="ellipsis"))
        return table


BARS = (
    (f"nats by noise level, last {RECENT} steps", "nll_by_noise_level"),
    (f"nats by block, last {RECENT} steps", "nll_by_block"),
)


class LiveRun(Board):
    """Draws a run while it trains; a view for ``unmask.train``.

    Args:
        name: of the run.
        metric: by which the best step is known.
        console: where to draw; stderr unless given.
    """

    def __init__(self, name: str, metric: str = "held_out_loss", *, console: Console | None = None) -> None:
        super().__init__(name, metric)
        self.console = console or Console(stderr=True)
        self._live = Live(get_renderable=self._frame, console=self.console, refresh_per_second=4)

    def _frame(self) -> RenderableType:
        return self.picture(self.console.width, self.console.height)

    def start(self, step: int, steps: int, lines: Sequence[Mapping[str, Any]]) -> None:
        """Begin to draw at a step of so many."""
        super().start(step, steps, lines)
        self._live.start()

    def say(self, line: str) -> None:
        """Print a line above the picture."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    def __enter__(self) -> "LiveRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _beside(parts: Sequence[RenderableType], widths: Sequence[int]) -> Table:
    table = Table.grid(padding=0)
    for width in widths:
        table.add_column(width=width)
    table.add_row(*parts)
    return table


def _cut(text: str, key: str) -> str:
    """Return a long text for one line: of a prompt its end, of an answer its beginning."""
    if len(text) <= 400:
        return text
    return "…" + text[-399:] if key == "prompt" else text[:399] + "…"
