"""``unmask eval``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli.options import (
    Blocks,
    BlockSize,
    Device,
    Json,
    Model,
    Proposal,
    Revision,
    Selection,
    Steps,
    Threshold,
    View,
)

if TYPE_CHECKING:
    from unmask.evaluate import Evaluation
    from unmask.recipe import EvaluateSection


def evaluate(
    model: Model,
    task: Annotated[
        str | None, typer.Option(help="A task's name (unmask methods), or YAML: '{name: gsm8k, path: data}'.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="Take what is not given from the evaluate and decoder sections of a recipe."),
    ] = None,
    problems: Annotated[int | None, typer.Option(min=1, help="How many (default: all, or 400 made ones).")] = None,
    split: Annotated[str | None, typer.Option(help="train or test (default: test).")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Columns of the canvas (default: 256).")] = None,
    block_size: BlockSize = None,
    steps: Steps = None,
    threshold: Threshold = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    selection: Selection = None,
    blocks: Blocks = None,
    proposal: Proposal = None,
    revision: Revision = None,
    view: View = None,
    full_canvas: Annotated[bool, typer.Option("--full-canvas", help="Decode without blocks.")] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Problems side by side (default: 16).")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the answers to this JSON Lines file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers (default: 0).")] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Decode a task's problems: accuracy with its interval, forwards, tokens per forward."""
    from unmask.cli.decoding import decoder_of
    from unmask.cli.present import emit
    from unmask.evaluate import check_writable
    from unmask.recipe import judging
    from unmask.tasks import choose_task

    given = {
        "task": choose_task(task) if task else None,
        "split": split,
        "problems": problems,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "seed": seed,
    }
    judged, preset = judging(recipe, {name: value for name, value in given.items() if value is not None})
    decoder = decoder_of(
        block_size=block_size, steps=steps, threshold=threshold, temperature=temperature,
        max_new_tokens=judged.max_new_tokens, whole=full_canvas, preset=preset, selection=selection, blocks=blocks,
        proposal=proposal, revision=revision, view=view,
    )  # fmt: skip
    if out:
        check_writable(out)
    found = _answered(judged, decoder, model, device)
    if out:
        found.write(out)
    if json:
        emit({"model": model, "task": judged.task.name, "split": judged.split, **found.summary()})
        return
    _show(found, f"{judged.task.name}, {judged.split}, {len(found.answers):,} problems")


def _answered(judged: "EvaluateSection", decoder: Any, model: str, device: str | None) -> "Evaluation":
    """Load the model and let it answer the task's problems."""
    from unmask.cli.decoding import check_decoder
    from unmask.cli.opening import open_model
    from unmask.cli.present import progress
    from unmask.evaluate import evaluate as run

    chosen = judged.task
    asked = chosen.problems(judged.split, judged.problems or chosen.default_problems, judged.seed)
    lm = open_model(model, device=device)
    check_decoder(decoder, lm, judged.max_new_tokens)
    with progress(chosen.name, len(asked)) as on_batch:
        return run(
            lm, chosen, asked, on_batch=on_batch, decoder=decoder, max_new_tokens=judged.max_new_tokens,
            batch_size=judged.batch_size, seed=judged.seed,
        )  # fmt: skip


def _show(found: "Evaluation", task: str) -> None:
    from unmask.cli.present import table

    low, high = found.interval
    table(
        {
            "task": task,
            "accuracy": f"{found.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})",
            "forwards": found.forwards,
            "tokens per forward": found.tokens_per_forward,
            "seconds": found.seconds,
        }
    )
