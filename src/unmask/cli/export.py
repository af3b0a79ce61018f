"""The commands ``unmask export``, ``unmask merge`` and ``unmask convert``."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.options import Json, Model

New = Annotated[Path, typer.Argument(help="New folder, or for --to gguf a new file.")]


def export(
    model: Model,
    out: New,
    to: Annotated[
        str,
        typer.Option(
            help="Layout: sdar, sdar_moe, llada, llada_moe, llada2, dream, fast_dllm_v2, stable_diffcoder, rnd1, "
            "a2d_llama, a2d_qwen2, a2d_qwen3, gguf, transformers."
        ),
    ],
    like: Annotated[
        str | None,
        typer.Option(help="Released checkpoint whose other files are copied (default: the one the model remembers)."),
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", help="Check for this engine only: sglang, lmdeploy, dinfer, llama.cpp.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Of the weights: float32, bfloat16, float16; gguf also q8_0 (default: the source's)."),
    ] = None,
    json: Json = False,
) -> None:
    """Write a model as an engine reads it: released names, types and files; refuse what it would decode otherwise."""
    from unmask.cli.opening import open_for_export
    from unmask.cli.present import emit, table
    from unmask.models.export import export as write

    done = write(open_for_export(model), out, to=to, like=like, engine=for_, dtype=dtype)
    shown = {
        "folder": str(done.folder),
        "layout": done.target,
        "source": done.source,
        "copied": list(done.copied),
        "missing": done.missing or None,
    }
    lines = {engine: line.replace("OUT", str(done.folder)) for engine, line in done.commands.items()}
    if json:
        emit({**shown, "commands": lines})
        return
    table({key: value for key, value in shown.items() if value})
    for engine, line in lines.items():
        typer.echo(f"\nserve with {engine}:\n  {line}")


def merge(
    adapter: Annotated[str, typer.Argument(help="Adapter folder, or a run folder whose model is one.")],
    out: New,
    json: Json = False,
) -> None:
    """Merge adapters into their base: a plain transformers folder, the short form of export --to transformers."""
    export(adapter, out, to="transformers", json=json)


def convert(
    model: Model,
    out: New,
    shift: Annotated[bool | None, typer.Option(help="Logits are shifted (default: by the checkpoint).")] = None,
    mask_token: Annotated[str | None, typer.Option(help="Spelling of the mask token.")] = None,
    mask_id: Annotated[int | None, typer.Option(help="Its id instead.")] = None,
    attention: Annotated[
        str | None, typer.Option(help="How it was trained to attend: bidirectional, block_causal, causal.")
    ] = None,
    block_size: Annotated[int | None, typer.Option(help="Block size that it was trained for, columns.")] = None,
    json: Json = False,
) -> None:
    """Turn a checkpoint into a plain transformers folder with its diffusion facts written down."""
    from unmask.cli.inspect import readable
    from unmask.cli.opening import open_for_export
    from unmask.cli.present import emit, table
    from unmask.models import describe
    from unmask.models.export import export as write

    lm = open_for_export(
        model, shift=shift, mask_token=mask_token, mask_id=mask_id, attention=attention, block_size=block_size
    )
    write(lm, out, to="transformers")
    facts = {**describe(lm), "folder": str(out)}
    emit(facts) if json else table(readable(facts))
