"""The quick start: a tiny diffusion language model learns a harder task in three ways, in a few minutes on a laptop.

A base that plain full-canvas diffusion has trained on short lists is evaluated on lists it was not trained for, under
block decoding and under full-canvas decoding; fine-tuned by vanilla SFT, by Blockwise SFT and by a mixture of both for
the same number of steps, two processes of one thread each at a time; and evaluated again.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate import evaluate
from unmask.evaluate.lines import as_row
from unmask.generate import canvases, generate
from unmask.models import LoadedModel, load
from unmask.plots.figures import plot_accuracies, plot_denoising, plot_losses
from unmask.plots.terminal import spell
from unmask.recipes.recipe import Recipe, build, read_recipe
from unmask.recipes.run import run_recipe
from unmask.runtime.children import end_with_parent
from unmask.runtime.runlock import is_empty
from unmask.runtime.third_party_logging import silence_libraries
from unmask.study.bounds import BoundSection, bounds
from unmask.tasks import Task
from unmask.train.metrics import MetricsFile

ARMS = ("vanilla", "blockwise", "mixture")
DECODINGS: Mapping[str, Mapping[str, Any]] = {"accuracy": {}, "full_canvas": {"blocks": "whole"}}
ASSET = Path(__file__).parents[1] / "assets" / "quickstart"
Progress = Callable[[str], None]


def quickstart(
    out: Path, *, problems: int = 400, seed: int = 0, steps: int | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Run the whole quick start, and write ``report.json`` and pictures.

    Args:
        out: new folder.
        problems: number of held-out problems.
        seed: seed of the training runs.
        steps: fine-tuning steps; None: as the recipes state.
        progress: called with a line now and then.

    Returns:
        ``{"before": {...}, "problems": n, "seconds": s}`` and an entry for each arm; each model has ``accuracy`` (block
        decoding), ``full_canvas``, their intervals, and ``bounds`` on held-out answers, nats a token: ``by_block``, as
        block decoding writes them, and ``any_order``.

    Raises:
        UserError: ``out`` is not empty.
    """
    began = time.perf_counter()
    if not is_empty(out):
        raise UserError(f"{out}: is not empty; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    jobs = {arm: {"arm": arm, "out": str(out), "problems": problems, "seed": seed, "steps": steps} for arm in ARMS}
    with _one_thread_each(), ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = {"before": pool.submit(_judge_base, problems)}
        futures |= {arm: pool.submit(_run_arm, job) for arm, job in jobs.items()}
        _follow(futures, out, progress)
        table = {name: future.result() for name, future in futures.items()}
    _draw(out, table)
    report: dict[str, Any] = {
        name: {
            **{decoding: summaries[decoding]["accuracy"] for decoding in DECODINGS},
            "intervals": {decoding: summaries[decoding]["interval"] for decoding in DECODINGS},
            "bounds": summaries["bounds"],
        }
        for name, summaries in table.items()
    }
    report |= {"problems": problems, "seconds": round(time.perf_counter() - began, 1)}
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


class _one_thread_each:  # noqa: N801  # reads as a statement
    """Children start with one thread each: two processes on two cores must not fight over them."""

    def __enter__(self) -> None:
        self.before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"

    def __exit__(self, *_: object) -> None:
        if self.before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = self.before


def _judge_base(problems: int) -> dict[str, Any]:
    """Evaluate the base under both decodings. Runs in a process of its own, as ``_run_arm``."""
    _alone()
    base, recipe = load(str(ASSET / "model")), build(read_recipe(ASSET / f"{ARMS[0]}.yaml"))
    found = {decoding: _evaluate(base, recipe, decoding, problems)[0] for decoding in DECODINGS}
    return {**found, "bounds": _bounds(base, recipe)}


def _run_arm(job: dict[str, Any]) -> dict[str, Any]:
    """Fine-tune, and evaluate under both decodings."""
    _alone()
    arm, out = job["arm"], Path(job["out"])
    assignments = [f"run.seed={job['seed']}"] + ([f"run.steps={job['steps']}"] if job["steps"] else [])
    recipe = build(read_recipe(ASSET / f"{arm}.yaml", tuple(assignments)))
    result = run_recipe(recipe, out / arm, show=False)
    tuned = load(str(result.model))
    after, answers = {}, {}
    for decoding in DECODINGS:
        after[decoding], answers[decoding] = _evaluate(tuned, recipe, decoding, job["problems"])
    (out / arm / "answers.json").write_text(json.dumps(answers, indent=1))
    return {**after, "bounds": _bounds(tuned, recipe)}


def _alone() -> None:
    """Limit this process to one thread, its output to what a user wants to read, and its life to the parent's."""
    end_with_parent()
    silence_libraries()
    torch.set_num_threads(1)


def _evaluate(
    lm: LoadedModel, recipe: Recipe, decoding: str, problems: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    decoder = replace(recipe.decoder, **DECODINGS[decoding])
    task = _task(recipe)
    found = evaluate(
        lm, task, task.problems("test", problems, 0), decoder=decoder, max_new_tokens=recipe.data.canvas, batch_size=100
    )
    return found.summary(), [as_row(answer) for answer in found.answers]


def _task(recipe: Recipe) -> Task:
    assert recipe.data.task is not None  # the recipes of this folder have one
    return recipe.data.task


def _bounds(lm: LoadedModel, recipe: Recipe) -> dict[str, float]:
    """Bound the likelihood of held-out answers, in any order and as block decoding writes, in nats a token."""
    size, task = recipe.decoder.block_size, _task(recipe)
    found = bounds(lm, BoundSection(examples=32, samples=8, block_size=size), task, task.problems("test", 64, 0))
    return {order: round(found[order]["nats_per_token"], 4) for order in ("any_order", "by_block")}


def _follow(futures: Mapping[str, Future[dict[str, Any]]], out: Path, progress: Progress | None) -> None:
    """Report how far the runs are until all are done."""
    while not all(future.done() for future in futures.values()):
        lines = {arm: MetricsFile.read(out / arm / "metrics.jsonl")[-1:] for arm in ARMS if not futures[arm].done()}
        parts = [f"{arm}: step {line[0]['step']}, own loss {line[0]['loss']:.3f}" for arm, line in lines.items()
                 if line and "loss" in line[0]]  # fmt: skip
        if progress:
            progress(" · ".join(parts) or "evaluating")
        time.sleep(0.5)


def _draw(out: Path, table: Mapping[str, Any]) -> None:
    logs = {arm: MetricsFile.read(out / arm / "metrics.jsonl") for arm in ARMS}
    plot_losses(logs, out / "loss.png", bounds={arm: table[arm]["bounds"]["by_block"] for arm in ARMS})
    names = {"accuracy": "block decoding", "full_canvas": "full-canvas decoding"}
    named = {model: {name: rows[decoding] for decoding, name in names.items()} for model, rows in table.items()}
    plot_accuracies(named, out / "accuracy.png")
    lm = load(str(out / "blockwise" / "model"))
    prompt, decoder, canvas = demonstration()
    shown = generate(lm, prompt, decoder=Decoder(**decoder), max_new_tokens=canvas, keep_steps=True, chat=False)
    final = shown.steps[-1].state
    spelled = [spell(lm, int(token)) for token in canvases(final.batch, final.ids)[0]]
    plot_denoising(shown.steps, spelled, out / "denoising.png", title=prompt)


def demonstration() -> tuple[str, dict[str, Any], int]:
    """Return a held-out prompt, decoder fields (one token a step) and a canvas for the live view and the picture."""
    recipe = build(read_recipe(ASSET / "blockwise.yaml"))
    problem, canvas = _task(recipe).problems("test", 1, 99)[0], recipe.data.canvas
    assert canvas is not None
    return problem.prompt, {"block_size": recipe.decoder.block_size}, canvas
