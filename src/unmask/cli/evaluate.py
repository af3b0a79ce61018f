"""``unmask eval``."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.options import BlockSize, Device, Json, MaxNewTokens, Model, Seed, Steps, Temperature, Threshold


def evaluate(
    model: Model,
    task: Annotated[str, typer.Option(help="A task's name (unmask methods), or YAML: '{name: gsm8k, path: data}'.")],
    problems: Annotated[int | None, typer.Option(help="How many problems (default: all, or 400 made ones).")] = None,
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
    max_new_tokens: MaxNewTokens = 256,
    block_size: BlockSize = None,
    steps: Steps = None,
    threshold: Threshold = None,
    temperature: Temperature = 0.0,
    full_canvas: Annotated[bool, typer.Option("--full-canvas", help="Decode without blocks.")] = False,
    batch_size: Annotated[int, typer.Option(help="Problems side by side.")] = 16,
    out: Annotated[Path | None, typer.Option(help="Write the answers to this JSON Lines file.")] = None,
    seed: Seed = 0,
    device: Device = None,
    json: Json = False,
) -> None:
    """Decode a task's problems: accuracy with its interval, forwards, tokens per forward."""
    from unmask.cli.decoding import decoder_fields
    from unmask.cli.present import emit, table
    from unmask.decoding import Decoder
    from unmask.evaluate import evaluate as run
    from unmask.models import load
    from unmask.quiet import quiet
    from unmask.recipe import resolve_path
    from unmask.tasks import choose_task

    chosen = choose_task(task)
    asked = chosen.problems(split, problems or chosen.default_problems, seed)
    quiet()
    lm = load(str(resolve_path(model)), device=device)
    fields = decoder_fields(
        block_size=block_size, steps=steps, threshold=threshold, temperature=temperature, whole=full_canvas
    )
    found = run(
        lm, chosen, asked, decoder=Decoder(**fields), max_new_tokens=max_new_tokens, batch_size=batch_size, seed=seed
    )
    if out:
        found.write(out)
    values = {"model": model, "task": chosen.name, "split": split, **found.summary()}
    emit(values) if json else table(values)
