"""``unmask eval``."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.options import BlockSize, Device, Json, MaxNewTokens, Model, Seed, Steps, Temperature, Threshold


def evaluate(
    model: Model,
    task: Annotated[str, typer.Option(help="A task's name (unmask methods), or YAML: '{name: gsm8k, path: data}'.")],
    problems: Annotated[int | None, typer.Option(min=1, help="How many (default: all, or 400 made ones).")] = None,
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
    max_new_tokens: MaxNewTokens = 256,
    block_size: BlockSize = None,
    steps: Steps = None,
    threshold: Threshold = None,
    temperature: Temperature = 0.0,
    full_canvas: Annotated[bool, typer.Option("--full-canvas", help="Decode without blocks.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Problems side by side.")] = 16,
    out: Annotated[Path | None, typer.Option(help="Write the answers to this JSON Lines file.")] = None,
    seed: Seed = 0,
    device: Device = None,
    json: Json = False,
) -> None:
    """Decode a task's problems: accuracy with its interval, forwards, tokens per forward."""
    from unmask.cli.decoding import check_decoder, decoder_of
    from unmask.cli.opening import open_model
    from unmask.cli.present import emit, progress, table
    from unmask.evaluate import check_writable
    from unmask.evaluate import evaluate as run
    from unmask.tasks import choose_task

    chosen = choose_task(task)
    decoder = decoder_of(
        block_size=block_size, steps=steps, threshold=threshold, temperature=temperature,
        max_new_tokens=max_new_tokens, whole=full_canvas,
    )  # fmt: skip
    if out:
        check_writable(out)
    asked = chosen.problems(split, problems or chosen.default_problems, seed)
    lm = open_model(model, device=device)
    check_decoder(decoder, lm, max_new_tokens)
    settings = {"decoder": decoder, "max_new_tokens": max_new_tokens, "batch_size": batch_size, "seed": seed}
    with progress(chosen.name, len(asked)) as on_batch:
        found = run(lm, chosen, asked, on_batch=on_batch, **settings)
    if out:
        found.write(out)
    if json:
        emit({"model": model, "task": chosen.name, "split": split, **found.summary()})
        return
    low, high = found.interval
    table(
        {
            "task": f"{chosen.name}, {split}, {len(asked):,} problems",
            "accuracy": f"{found.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})",
            "forwards": found.forwards,
            "tokens per forward": found.tokens_per_forward,
            "seconds": found.seconds,
        }
    )
