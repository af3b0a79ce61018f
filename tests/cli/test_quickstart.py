"""The quick start, short: everything happens and is written; what it achieves is in docs/results.md."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file

import unmask
from unmask.recipes.recipe import build, read_recipe
from unmask.study.quickstart import ARMS

ASSET = Path(unmask.__file__).parent / "assets/quickstart"


def test_quickstart_runs_and_reports(tmp_path):
    out = tmp_path / "qs"
    command = [sys.executable, "-m", "unmask.cli.main", "quickstart", "--json", "--out", str(out)]
    done = subprocess.run([*command, "--problems", "20", "--steps", "4"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["problems"] == 20
    assert report["seconds"] > 0
    for name in ("before", *ARMS):
        assert 0 <= report[name]["accuracy"] <= 1
        assert 0 <= report[name]["full_canvas"] <= 1
        assert report[name]["bounds"]["by_block"] > 0
    assert json.loads((out / "report.json").read_text()) == report
    for file in ("loss.png", "accuracy.png", "denoising.png", "vanilla/metrics.jsonl", "blockwise/model/config.json"):
        assert (out / file).stat().st_size > 0
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert again.stderr.startswith("error: ")
    assert len(again.stderr.splitlines()) == 1


def test_the_asset_is_small_plain_and_made_by_its_recipe():
    assert sum(f.stat().st_size for f in (ASSET / "model").iterdir()) < 4_000_000
    assert not list((ASSET / "model").glob("*.py"))
    log = [json.loads(line) for line in (ASSET / "base-metrics.jsonl").read_text().splitlines()]
    recipe = build(read_recipe(ASSET / "base.yaml"))
    assert log[-1]["step"] == recipe.run.steps
    assert log[-1]["examples"] == recipe.run.steps * recipe.run.batch_size
    assert recipe.run.objective.name == "vanilla"
    assert load_file(ASSET / "model/model.safetensors")


def test_the_arms_differ_in_the_objective_only():
    recipes = [read_recipe(ASSET / f"{arm}.yaml") for arm in ARMS]
    objectives = [str(recipe.pop("objective")) for recipe in recipes]
    assert len(set(objectives)) == len(ARMS) > 2
    assert all(recipe == recipes[0] for recipe in recipes)


def test_no_training_problem_is_held_out():
    held_out = {p.key for p in build(read_recipe(ASSET / "blockwise.yaml")).data.task.problems("test", 400, 0)}
    assert len(held_out) == 400
    for name in ("base", *ARMS):
        data = build(read_recipe(ASSET / f"{name}.yaml")).data
        seen = {p.key for p in data.task.problems(data.split, data.size, data.seed)}
        assert not seen & held_out


def test_keys_are_hashes_of_the_prompt():
    problem = build(read_recipe(ASSET / "base.yaml")).data.task.problems("train", 1, 0)[0]
    assert problem.key == hashlib.sha256(problem.prompt.encode()).hexdigest()[:16]
