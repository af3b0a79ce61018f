"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

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
Steps = Annotated[int | None, typer.Option(help="Forwards for the whole canvas (default: one token a step).")]
Threshold = Annotated[float | None, typer.Option(help="Write every token at least this sure, at least one a step.")]
Selection = Annotated[
    str | None, typer.Option(help="Which open places are written now: a name (unmask methods) or YAML.")
]
Blocks = Annotated[str | None, typer.Option(help="How the canvas is cut into blocks: a name or YAML.")]
Proposal = Annotated[
    str | None, typer.Option(help="How tokens are drawn: a name or YAML, '{name: nucleus, top_p: 0.9}'.")
]
Revision = Annotated[str | None, typer.Option(help="Which written tokens are taken back or replaced: a name or YAML.")]
View = Annotated[str | None, typer.Option(help="What the model reads: a name or YAML, '{name: cfg, scale: 1}'.")]
Cache = Annotated[
    str | None, typer.Option(help="How the model is called again: a name or YAML (default: the fastest exact one).")
]
Search = Annotated[
    str | None, typer.Option(help="Decode a prompt in several rows: a name or YAML, '{name: smc, particles: 4}'.")
]
Regex = Annotated[str | None, typer.Option(help="Hold the whole answer to a pattern (Rust's syntax, no ^ and $).")]
JsonSchema = Annotated[
    str | None, typer.Option(help="Hold the whole answer to a JSON schema: a file, or the schema itself.")
]
BlankTokens = Annotated[
    list[int] | None, typer.Option(help="Tokens of a blank (default: 16); given once for all, or once for each.")
]
SaveTrace = Annotated[
    Path | None, typer.Option(help="Write what was written when to this new .jsonl file; see unmask plot.")
]
Compile = Annotated[bool, typer.Option("--compile", help="Run the model through torch.compile.")]
Stop = Annotated[
    list[str] | None, typer.Option(help="End an answer before this text; may be given several times.", metavar="TEXT")
]
Temperature = Annotated[float, typer.Option(help="0 is greedy.")]
MaxNewTokens = Annotated[int, typer.Option(help="Columns of the canvas.")]
