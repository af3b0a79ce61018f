"""The command line. Commands import what they need when they run, so that ``--help`` answers at once."""

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

from unmask.errors import UserError

COMMANDS = ("quickstart", "sft", "generate", "chat", "evaluate", "preview", "check", "inspect", "methods", "convert")


class OneLineErrors(TyperGroup):
    """A user's mistake is one line on stderr and exit code 2; ours keeps its traceback and exits with 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            for line in getattr(error, "problems", [str(error)]):
                typer.echo(f"error: {line}", err=True)
            raise SystemExit(2) from None


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Fine-tune, decode and study masked diffusion language models, block by block.",
)
for command in COMMANDS:
    module = importlib.import_module(f"unmask.cli.{command}")
    app.command("eval" if command == "evaluate" else command)(getattr(module, command))


if __name__ == "__main__":
    app()
