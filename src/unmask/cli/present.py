"""Output of results: JSON on stdout, everything else on stderr or as text."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from unmask.errors import UserError, printable


def emit(value: Any) -> None:
    """Print one JSON object on stdout."""
    typer.echo(printable(json.dumps(value, ensure_ascii=False, default=str)))


def say(line: str) -> None:
    """Print a line beside the result, on stderr."""
    typer.echo(printable(line), err=True)


def table(rows: dict[str, Any]) -> None:
    """Print names and values, aligned."""
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        label = typer.style(f"{name.replace('_', ' '):<{width}}", fg="cyan")
        typer.echo(f"{label}  {as_text(value)}")


def as_text(value: object) -> str:
    """Return a value as text for people.

    >>> as_text(None), as_text(True), as_text(1234567), as_text(["a", 1])
    ('none', 'yes', '1,234,567', 'a, 1')
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) >= 1e6 or 0 < abs(value) < 1e-3 else f"{value:,.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(as_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {as_text(entry)}" for name, entry in value.items())
    return str(value)


def check_new_file(path: Path, option: str) -> None:
    """Refuse a file that is there already or lies where nothing can be written, before any work is done.

    Args:
        path: the file.
        option: the option that named it, for the message.

    Raises:
        UserError: it exists or cannot be written.
    """
    if path.exists():
        raise UserError(f"{option} {path}: expected a new file, found something of that name; choose another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.unlink()
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written ({error.strerror}); choose another") from error


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar on stderr.

    Args:
        what: the label of the bar.
        total: how much there is to do.

    Yields:
        A function to call with the amount that is done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
