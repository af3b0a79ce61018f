"""The rows of the commands that measure something on answers."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.opening import Record
from unmask.errors import UserError, did_you_mean

Data = Annotated[
    str, typer.Argument(help="JSON Lines, CSV or Parquet file, hub data set, or a task: sorting, '{name: gsm8k, …}'.")
]


def read_rows(data: str, *, split: str, limit: int | None, seed: int) -> tuple[list[Record], bool | None]:
    """Read the rows of a file, a hub data set or a task.

    Args:
        data: what the user wrote.
        split: of a hub data set or a task.
        limit: rows to read; None: all of a file, or a task's own number.
        seed: of a task's problems.

    Returns:
        The rows, and whether to put them into the chat template (None: where there is one).

    Raises:
        UserError: it is none of these.
    """
    from unmask.config.components import choose
    from unmask.config.yaml import read_value
    from unmask.data import read
    from unmask.tasks import TASKS

    is_task = data in TASKS or data.lstrip().startswith("{")
    if Path(data).exists() or not is_task:
        if data.isidentifier() and not Path(data).exists() and (near := did_you_mean(data, TASKS)).endswith("?"):
            raise UserError(f"DATA: expected a file, a hub data set or a task, found '{data}'; {near}")
        return read(data, split=split, limit=limit), None
    task = choose(TASKS, read_value(data, "DATA"), "DATA")
    size = task.default_problems and (limit or task.default_problems)
    return [problem.record for problem in task.problems(split, size, seed)][:limit], task.chat
