"""The example of ``docs/studies.md``: a study on rows and questions of one's own."""

import json
import re
from pathlib import Path

import pytest
import yaml

PAGE = Path(__file__).parents[2] / "docs/studies.md"
TASK = "{name: sorting, shortest: 8, longest: 8}"


@pytest.fixture
def example(run, tmp_path):
    """The study as the docs have it, and the files that it names."""
    (text,) = re.findall(r"``` yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (tmp_path / "own.yaml").write_text(text)
    run("tasks", "write", TASK, "--split", "train", "--problems", 16, "--out", "chats.jsonl")
    run("tasks", "write", TASK, "--split", "test", "--problems", 5, "--out", "questions.jsonl")
    return yaml.safe_load(text)


SMALL = (
    "recipe.run.steps=2",
    "recipe.run.batch_size=4",
    "evaluate.every=1",
    "evaluate.general_problems=4",
    "seeds=[0]",
)


def test_the_example_runs_on_questions_of_ones_own(run, tmp_path, example):
    assert example["evaluate"]["questions"] == "questions.jsonl"
    small = [word for assignment in SMALL for word in ("--set", assignment)]
    done = run("study", "own.yaml", "--out", "runs/own", "--jobs", 2, "--json", *small)
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    assert {row["budget"] for row in summary["comparisons"]} == {"steps", "run"}
    for path in summary["results"]:
        result = json.loads((tmp_path / "runs/own" / path / "result.json").read_text())
        last = result if result["arm"] is None else result["points"][-1]
        assert result["problems"] == 5
        assert len(last["general"]["right"]) == 4
    answers = (tmp_path / "runs/own/runs/all/base/points/answers/0.jsonl").read_text().splitlines()
    rows = (tmp_path / "questions.jsonl").read_text().splitlines()
    assert {json.loads(line)["prompt"] for line in answers} == {json.loads(line)["prompt"] for line in rows}
    assert "## After the whole run" in (tmp_path / "runs/own/report.md").read_text()
    assert run("study", "--repeat", "runs/own", "--out", "runs/again", "--jobs", 2).exit_code == 0


def test_rates_cannot_be_chosen_without_validation_problems(run, example):
    done = run("study", "own.yaml", "--dry-run", "--set", "rates=[1e-3, 1e-4]")
    assert done.exit_code == 2
    assert "evaluate.validation: expected problems by which one of the rates is chosen, found 0" in done.stderr
    several = ("--set", "rates=[1e-3, 1e-4]", "--set", "evaluate.validation=5")
    done = run("study", "own.yaml", "--out", "runs/own", "--jobs", 1, *several)
    assert done.exit_code == 2
    assert "expected fewer than the 5 problems there are, found 5" in done.stderr
