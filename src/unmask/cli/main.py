"""The command line. Commands import what they need when they run, so that ``--help`` answers at once."""

import errno
import importlib
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from unmask.errors import Interrupted, UserError, printable

COMMANDS = (
    "quickstart", "sft", "generate", "chat", "plot", "evaluate", "likelihood", "study", "analyze", "preview",
    "check", "inspect", "methods", "tasks", "convert",
)  # fmt: skip
OUTSIDE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR)
"""What the machine refuses: the user's to mend. Any other OSError is ours."""


class OneLineErrors(TyperGroup):
    """A user's mistake is one line a problem on stderr and exit code 2; ours keeps its traceback and exits with 1."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run a command and leave with its exit code."""
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except Interrupted as error:
            fail([str(error)], code=128 + error.number)
        except UserError as error:
            fail([problem.removeprefix(": ") for problem in getattr(error, "problems", [str(error)])])
        except typer.Abort:
            fail(["interrupted"], code=130)
        except OSError as error:
            if error.errno not in OUTSIDE:
                raise
            fail([f"{error.filename or 'writing'}: {error.strerror}; mend that, or write elsewhere"])
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            fail([_usage(error)])
        sys.exit(code if isinstance(code, int) else 0)


def fail(problems: list[str], code: int = 2) -> NoReturn:
    """Print a line for each problem and leave."""
    for problem in problems:
        typer.echo(printable(f"error: {' '.join(problem.split())}"), err=True)
    sys.exit(code)


def _usage(error: Any) -> str:
    """Write the command line's own complaint in our form."""
    message = error.format_message().strip().rstrip(".")
    message = message.replace("Input should be", "expected").partition(", unable to")[0]
    command = getattr(getattr(error, "ctx", None), "command_path", "unmask")
    return f"{message[:1].lower()}{message[1:]}; see {command} --help"


app = typer.Typer(
    cls=OneLineErrors,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Fine-tune, decode and study masked diffusion language models, block by block.",
)
for command in COMMANDS:
    module = importlib.import_module(f"unmask.cli.{command}")
    run = getattr(module, command)
    if isinstance(run, typer.Typer):
        app.add_typer(run, name=command)
    else:
        app.command("eval" if command == "evaluate" else command)(run)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    """Fine-tune, decode and study masked diffusion language models, block by block."""
    if version:
        from unmask import __version__

        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


if __name__ == "__main__":
    app()
