"""How results reach the user: JSON on stdout, everything else on stderr or as text."""

import json
from typing import Any

import typer


def emit(value: Any) -> None:
    """Print one JSON object on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def table(rows: dict[str, Any]) -> None:
    """Print names and values, aligned."""
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        typer.echo(f"{name:<{width}}  {value}")
