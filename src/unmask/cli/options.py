"""Options that several commands share."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 … (default: a GPU if there is one).")]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Out = Annotated[Path, typer.Option(help="Folder to write to; must be new.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change the recipe: --set run.steps=100")
]
Model = Annotated[str, typer.Argument(help="Hub name, folder, adapter folder, .gguf file, or asset:quickstart/model.")]
BlockSize = Annotated[int | None, typer.Option(help="Block size (default: what the model was trained with, else 32).")]
Questions = Annotated[
    str | None, typer.Option(help="Your own questions: a file with questions and expected answers (needs --answer).")
]
AnswerRule = Annotated[
    str | None,
    typer.Option(
        help="When an answer to them is right: exact, number, math, contains, regex, python:FILE.py:FUNCTION, or YAML: "
        "'{name: exact, ignore_case: true}'."
    ),
]
Regex = Annotated[str | None, typer.Option(help="Hold the whole answer to a pattern (Rust's syntax, no ^ and $).")]
JsonSchema = Annotated[
    str | None, typer.Option(help="Hold the whole answer to a JSON schema: a file, or the schema itself.")
]
BlankTokens = Annotated[
    list[int] | None, typer.Option(help="Tokens of a blank (default: 16); given once for all, or once for each.")
]
Prompt = Annotated[
    list[str] | None, typer.Option("--prompt", help="What to answer; may be given several times; - reads stdin.")
]
Blanks = Annotated[
    list[str] | None,
    typer.Option("--infill", help="A text with blanks to fill, 'a ___ b'; may be given several times."),
]
PromptFile = Annotated[
    str | None,
    typer.Option(
        "--in",
        metavar="FILE",
        help="Answer the prompts of a file: .txt (one a line), .jsonl, .csv, .parquet; -: JSON Lines on stdin.",
    ),
]
AnswerFile = Annotated[
    str | None,
    typer.Option("--out", metavar="FILE", help="With --in: new .jsonl file of answers (default: -, stdout)."),
]
PromptColumn = Annotated[
    str | None,
    typer.Option("--column", help="With --in: the column of prompts (default: messages, prompt, question …)."),
]
SaveTrace = Annotated[
    Path | None, typer.Option(help="Write what was written when to this new .jsonl file; see unmask plot.")
]
Compile = Annotated[bool, typer.Option("--compile", help="Run the model through torch.compile.")]
Stop = Annotated[
    list[str] | None, typer.Option(help="End an answer before this text; may be given several times.", metavar="TEXT")
]
Canvas = Annotated[int | None, typer.Option(min=1, help="Columns of every canvas (default: fits the answer).")]
MaxLength = Annotated[int, typer.Option(min=2, help="Longest prompt plus answer, tokens.")]


def decoder_options(
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Columns of the canvas (default: what the model was trained with, else 256).")
    ] = None,
    released: Annotated[
        bool | None, typer.Option("--released", help="Decode as the released sampler of the model's family does.")
    ] = None,
    block_size: BlockSize = None,
    steps: Annotated[
        int | None, typer.Option(help="Forwards for the whole canvas (default: one token a step).")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Write every token of at least this confidence, at least one a step.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy (default: 0).")] = None,
    selection: Annotated[
        str | None, typer.Option(help="Which open positions are written now: a name (unmask methods) or YAML.")
    ] = None,
    blocks: Annotated[str | None, typer.Option(help="How the canvas is cut into blocks: a name or YAML.")] = None,
    last_block: Annotated[
        str | None,
        typer.Option(help="A last block that the canvas does not fill: whole or cut (default: as the model's family)."),
    ] = None,
    proposal: Annotated[
        str | None, typer.Option(help="How tokens are drawn: a name or YAML, '{name: nucleus, top_p: 0.9}'.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Which written tokens are taken back or replaced: a name or YAML.")
    ] = None,
    view: Annotated[
        str | None, typer.Option(help="What the model reads: a name or YAML, '{name: cfg, scale: 1}'.")
    ] = None,
    cache: Annotated[
        str | None, typer.Option(help="How the model is called again: a name or YAML (default: the fastest exact one).")
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Decode a prompt in several rows: a name or YAML, '{name: smc, particles: 4}'.")
    ] = None,
) -> None:
    """Declare the options of every command that decodes."""


def decodes(command: Callable[..., None]) -> Callable[..., None]:
    """Add all options of decoding to a command, in place of its parameter ``chosen``.

    Args:
        command: takes ``chosen``, a mapping from the name of each option to what the user wrote, None where nothing.

    Returns:
        The command, with the signature that typer reads.
    """
    shared = inspect.signature(decoder_options).parameters
    own = list(inspect.signature(command).parameters.values())
    index = [parameter.name for parameter in own].index("chosen")

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(chosen={name: given.pop(name) for name in shared}, **given)

    parameters = [*own[:index], *shared.values(), *own[index + 1 :]]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
