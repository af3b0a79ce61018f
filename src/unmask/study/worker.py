"""One job of a study: ``job.json`` says what, ``result.json`` what came of it.

A job that died is started again in the same folder and goes on from its newest checkpoint.
"""

import shutil
from pathlib import Path
from typing import Any

from unmask.config import fill
from unmask.models import load
from unmask.provenance import versions
from unmask.recipe import build
from unmask.runlock import owned
from unmask.sft import run_recipe
from unmask.study.files import read_json, write_json
from unmask.study.judge import Judge, bounds_of, judge, problem_keys, problems_of, read_points
from unmask.study.spec import JudgeSection
from unmask.study.verify import RESULT
from unmask.train.checkpoints import newest
from unmask.train.folder import CHECKPOINTS, RUN_FILE

JOB = "job.json"


def work(folder: Path) -> None:
    """Do the job that a folder asks for, unless its result is there; waits for another process that is at it."""
    with owned(folder, "a run of unmask study", wait=True):
        if (folder / RESULT).exists():
            return
        job = read_json(folder / JOB, "delete its folder and start the study again")
        did = {"train": _train, "judge": _judge}[job["kind"]](job, folder)
        write_json(folder / RESULT, {**job["about"], **did, "versions": versions(), "machine": _machine()})


def _train(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train, judged on the way if the job says how."""
    recipe, out = build(job["recipe"]), folder / "train"
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


def _judge(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Judge a model as it is."""
    section = fill(JudgeSection, job["evaluate"], "evaluate")
    problems = problems_of(section, job["which"])
    lm = load(job["model"])
    found = judge(lm, section, section.made(lm.facts.block_size), problems, folder / "points" / "answers")
    about = {"problems": len(problems), "problem_keys": problem_keys(problems)}
    return {**about, "decoders": found, **bounds_of(lm, section)}


def _machine() -> dict[str, Any]:
    import platform

    import torch

    return {"machine": platform.machine(), "threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()}
