"""What is shown of a run while it trains: by default a progress bar on stderr."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


@runtime_checkable
class View(Protocol):
    """Shows a run; called on the process that writes."""

    def start(self, step: int, steps: int, lines: Sequence[Mapping[str, Any]]) -> None:
        """Begin at a step of so many.

        Args:
            step: that is done.
            steps: of the whole run.
            lines: of ``metrics.jsonl`` so far.
        """
        ...

    def update(self, values: Mapping[str, Any]) -> None:
        """Show the values of a step, those of an evaluation among them."""
        ...

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show answers to held-out prompts: ``step``, ``prompt``, ``expected`` and ``text``."""
        ...

    def say(self, line: str) -> None:
        """Show a line that stays."""
        ...

    def stop(self) -> None:
        """End the view, also after an error: it hides the cursor while it is drawn."""
        ...


class Bar:
    """A progress bar on stderr, with the loss and the speed.

    Args:
        show: whether to draw it; lines are printed in any case.
    """

    def __init__(self, *, show: bool = True) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not show,
        )
        self._task: TaskID | None = None

    def start(self, step: int, steps: int, lines: Sequence[Mapping[str, Any]]) -> None:
        """Draw the bar at a step of so many."""
        del lines
        self._bar.start()
        self._task = self._bar.add_task("train", total=steps, completed=step, text="")

    def update(self, values: Mapping[str, Any]) -> None:
        """Advance the bar, with the values of a step beside it."""
        if self._task is not None and "loss" in values:
            text = (
                f"loss {values['loss']:.4f} · {values['tokens_per_second']:,.0f} tok/s · "
                f"{values['supervised_tokens_per_second']:,.0f} supervised tok/s"
            )
            self._bar.update(self._task, completed=values["step"], text=text)

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show nothing: a bar has one line."""

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Remove the bar from the terminal at the end of the run."""
        self._bar.stop()
