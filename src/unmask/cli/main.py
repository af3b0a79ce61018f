"""The command line. Commands import what they need when they run, so that ``--help`` answers at once."""

import importlib
import os
import shlex
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from unmask.errors import UserError, printable, shorten

COMMANDS = (
    "quickstart", "init", "check", "preview", "sft", "watch", "plot", "generate", "chat", "evaluate", "compare",
    "likelihood", "study", "analyze", "docs", "inspect", "methods", "tasks", "export", "merge", "convert", "card",
    "push",
)  # fmt: skip
IN_FILE = {"merge": "export", "convert": "export"}
_INTERRUPTED = 130
LONGEST = 400
"""Characters of a line about an error."""
FULL = ("No space left on device", "Disk quota exceeded", "File too large")
"""How libraries that raise no OSError say that a disk is full."""


class OneLineErrors(TyperGroup):
    """A group of commands that prints every error as one line a problem on stderr.

    Exit codes: 2 for a user's mistake and for what the machine refuses, 130 or 143 when interrupted, 141 when nobody
    reads the output any more, 70 for a fault of unmask, whose traceback goes to a file.
    """

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run a command and leave with its exit code."""
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
            sys.stdout.flush()
            _tell_of_interrupt(code)
        except UserError as error:
            fail([problem.removeprefix(": ") for problem in getattr(error, "problems", [str(error)])], error.code)
        except typer.Abort:
            fail(["interrupted"], _INTERRUPTED)
        except BrokenPipeError:
            _leave_quietly()
        except SystemExit as leaving:
            if isinstance(leaving.__context__, BrokenPipeError):  # as rich and click do
                _leave_quietly()
            raise
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # libraries in Rust raise some that are no Exception
            if hasattr(error, "format_message"):
                fail([_usage(error)])
            if outside := _outside(error):
                fail([outside])
            _last_resort(error)
        sys.exit(code if isinstance(code, int) else 0)


def _tell_of_interrupt(code: object) -> None:
    """Print a line where typer has turned a KeyboardInterrupt into an exit code without a word."""
    if code == _INTERRUPTED:
        fail(["interrupted; what was written stays, and commands that have --resume go on with it"], _INTERRUPTED)


def fail(problems: list[str], code: int = 2) -> NoReturn:
    """Print a line for each problem on stderr and exit with ``code``."""
    for problem in problems:
        typer.echo(printable(f"error: {shorten(problem, LONGEST)}"), err=True)
    sys.exit(code)


def _outside(error: BaseException) -> str | None:
    """Return what the machine refused and the user can mend; None for any other error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            place = shorten(cause.filename, 160) if cause.filename else "reading or writing"
            return f"{place}: {cause.strerror}; mend that, or write elsewhere"
        said = str(cause)[:4000]
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError" or "can't allocate" in said:
            return "out of memory; write a smaller batch, text or model, or take a larger machine"
        if full := next((text for text in FULL if text in said), None):
            return f"writing: {full}; make room, or write elsewhere"
        cause = cause.__cause__ or cause.__context__
    return None


def _last_resort(error: BaseException) -> NoReturn:
    """Write a traceback to a file, print in one line where it is, and exit."""
    what = shorten(f"{type(error).__name__}: {str(error)[:4000]}", 160)
    try:
        descriptor, name = tempfile.mkstemp(prefix="unmask-traceback-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{shlex.join(sys.argv)}\n\n")
            traceback.print_exception(error, file=file)
        where = f"the traceback is in {name}"
    except (OSError, RecursionError, MemoryError) as unwritten:
        where = f"its traceback could not be written ({shorten(unwritten, 60)})"
    fail([f"{what}; this is a fault of unmask, please report it; {where}"], code=70)


def _leave_quietly() -> NoReturn:
    """Exit when nobody reads the output; the interpreter would complain when it closes the stream."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)


def _usage(error: Any) -> str:
    """Return typer's own complaint in the form of our errors."""
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
    module = importlib.import_module(f"unmask.cli.{IN_FILE.get(command, command)}")
    run = getattr(module, command)
    if isinstance(run, typer.Typer):
        app.add_typer(run, name=command)
    else:
        app.command("eval" if command == "evaluate" else command)(run)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
    plugin: list[str] | None = typer.Option(
        None, help="Import a module, or a .py file, that registers components; may be repeated. It is run: trust it."
    ),
) -> None:
    """Fine-tune, decode and study masked diffusion language models, block by block."""
    if version:
        from unmask import __version__

        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
    elif plugin:
        from unmask.config.plugins import load_plugins, resolve

        load_plugins(resolve(plugin, Path()))


if __name__ == "__main__":
    app()
