"""One job of a study: ``job.json`` describes the work, ``result.json`` its result.

A job that died is started again in the same folder and continues from its newest checkpoint.
"""

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unmask.config.components import fill
from unmask.config.plugins import load_plugins
from unmask.errors import UserError
from unmask.models import load
from unmask.recipes.inputs import load_examples, load_model
from unmask.recipes.recipe import Recipe, build
from unmask.recipes.run import run_recipe
from unmask.runtime.children import end_with_parent
from unmask.runtime.environment import versions
from unmask.runtime.runlock import owned
from unmask.runtime.third_party_logging import silence_libraries
from unmask.study.files import read_json, write_json
from unmask.study.judge import Judge, bounds_of, general_of, judge, problem_keys, problems_of, read_points
from unmask.study.spec import JudgeSection
from unmask.study.verify import RESULT
from unmask.train.checkpoints import newest
from unmask.train.run_folder import CHECKPOINTS, RUN_FILE

JOB, LOG = "job.json", "log.txt"


def do(folder: Path, plugins: Sequence[str]) -> None:
    """Do the job of a folder in a process of its own, on one thread, with its output in ``log.txt``.

    The process leads a group, so that it can be ended with all that it started, and ends with the study's.

    Args:
        folder: folder of the job.
        plugins: modules and files that register components, imported first.
    """
    os.setsid()
    end_with_parent()
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, stream)
    silence_libraries()
    torch.set_num_threads(1)
    try:
        load_plugins(plugins)
        work(folder)
    except UserError as error:
        sys.exit(f"error: {error}")


def work(folder: Path) -> None:
    """Do the job of a folder, unless its result is there; wait if another process is at work on it."""
    with owned(folder, "a run of unmask study", wait=True):
        if (folder / RESULT).exists():
            return
        job = read_json(folder / JOB, "delete its folder and start the study again")
        did = {"train": _train, "judge": _judge}[job["kind"]](job, folder)
        write_json(folder / RESULT, {**job["about"], **did, "versions": versions(), "machine": _machine()})


def _train(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train, judging during the run if the job has an ``evaluate`` section; return the result."""
    recipe, out = _in_steps(build(job["recipe"])), folder / "train"
    watching, found = None, {}
    if job["evaluate"]:
        section = fill(JudgeSection, job["evaluate"], "evaluate")
        points = folder / "points"
        watching = Judge(section, job["which"], recipe.run, metrics=out / "metrics.jsonl", out=points)
        found = {"problems": len(watching.problems), "problem_keys": problem_keys(watching.problems)}
    begun = (out / RUN_FILE).exists()
    resume = begun and newest(out / CHECKPOINTS) is not None
    run_recipe(recipe, out, resume=resume, restart=begun and not resume, show=False, evaluate=watching)
    if watching:
        found |= read_points(out / "metrics.jsonl", folder / "points")
    shutil.rmtree(out / "checkpoints")
    if not job["keep"]:
        shutil.rmtree(out / "model")
    return found


def _in_steps(recipe: Recipe) -> Recipe:
    """Return a recipe with its epochs as steps, which say when models are judged."""
    if recipe.run.epochs is None:
        return recipe
    lm = load_model(recipe.model)
    size, grid = recipe.block_size(lm.facts.block_size), recipe.grid(lm.facts.grid)
    examples = load_examples(recipe.data, lm, block_size=size, grid=grid)
    return replace(recipe, run=recipe.run.in_steps(len(examples.training)))


def _judge(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Judge a model as it is; return the result."""
    section = fill(JudgeSection, job["evaluate"], "evaluate")
    problems = problems_of(section, job["which"])
    lm = load(job["model"])
    decoders, answers = section.made(lm.facts.block_size), folder / "points" / "answers"
    found = judge(lm, section, decoders, problems, answers)
    about = {"problems": len(problems), "problem_keys": problem_keys(problems)}
    return {**about, "decoders": found, **bounds_of(lm, section), **general_of(lm, section, decoders, answers)}


def _machine() -> dict[str, Any]:
    return {"machine": platform.machine(), "threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()}
