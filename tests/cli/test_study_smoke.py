"""Every built-in study, run whole at its smallest size: all arms train, all decoders decode, and the report says so."""

import json

import pytest

from unmask.study import built_in_studies


@pytest.mark.parametrize("name", built_in_studies())
def test_smoke(name, run, tmp_path):
    out = tmp_path / name
    done = run("study", name, "--size", "smoke", "--out", out, "--jobs", "1", "--json")
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    recipe = json.loads((out / "study.json").read_text())["recipe"]
    assert summary["missing_runs"] == 0
    assert {row["arm"] for row in summary["comparisons"]} == set(recipe["arms"])
    assert {row["decoder"] for row in summary["comparisons"]} >= set(recipe["evaluate"]["decoders"])
    assert all(0 <= row["accuracy"] <= 1 for row in summary["comparisons"])
    assert len(list((out / "runs").rglob("seed-*/result.json"))) == len(recipe["arms"]) * len(recipe["seeds"])
    assert recipe["question"] in (out / "report.md").read_text()
