"""Folders and records that unmask 0.1.0 wrote (``tests/fixtures/make.py``) open, go on and repeat; newer ones do not."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import unmask

OLD = Path(__file__).parents[1] / "fixtures" / "0.1.0"


@pytest.fixture(autouse=True)
def _old(tmp_path):
    """Copy them to where the test runs: records name each other by relative paths."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.parametrize(
    "folder", ["finished", "finished/model", "stopped/checkpoints/checkpoint-2", "adapter", "heads"]
)
def test_models_load_without_flags(folder):
    lm = unmask.load(folder)
    block_size = None if folder.startswith(("stopped", "heads")) else 8
    assert (lm.facts.mask_id, lm.facts.block_size, lm.facts.attention) == (65, block_size, "bidirectional")
    assert (sorted(lm.heads) != []) == (folder == "heads")
    assert unmask.generate(lm, "sort 3 1 2 =", max_new_tokens=16).forwards > 0


def test_an_adapter_changes_its_base():
    base, adapted = unmask.load("finished"), unmask.load("adapter")
    steps = [unmask.generate(lm, "3 1 2 =", max_new_tokens=16, keep_steps=True).steps[0] for lm in (base, adapted)]
    assert 1e-4 < (steps[0].probabilities - steps[1].probabilities).abs().max() < 1


def test_a_stopped_run_goes_on_to_where_one_that_was_not_stopped_came(run):
    done = run("sft", "recipe.yaml", "--out", "stopped", "--resume")
    assert done.exit_code == 0, done.output
    for name in ("loss", "held_out_loss", "grad_norm", "supervised_tokens", "flops"):
        values = [[line[name] for line in lines_of(f"{of}/metrics.jsonl") if name in line] for of in ("stopped", "finished")]
        assert values[0] == pytest.approx(values[1], rel=1e-4), name
    now, then = (load_file(f"{of}/model/model.safetensors") for of in ("stopped", "finished"))
    torch.testing.assert_close(now, then, rtol=1e-3, atol=1e-4)


def test_a_stopped_run_is_not_gone_on_with_otherwise(refused, recipe):
    changed = Path("recipe.yaml").read_text().replace("name: blockwise", "name: blockwise\n  eps: 0.01")
    Path("recipe.yaml").write_text(changed)
    refused("sft", "recipe.yaml", "--out", "stopped", "--resume", says="objective was")


def test_a_finished_run_says_how_to_begin_from_it(refused):
    refused("sft", "recipe.yaml", "--out", "finished", says="finished: holds another run; write --resume")
    refused("sft", "recipe.yaml", "--out", "finished", "--resume", says="model.path=finished/model")


@pytest.mark.parametrize("ending", ["png", "html"])
def test_a_trace_is_drawn(run, ending):
    done = run("plot", "trace.jsonl", "--out", f"t.{ending}")
    assert done.exit_code == 0, done.output


def test_an_evaluation_is_shown_and_repeated(run):
    again = run("eval", "--repeat", "evaluation", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["repeat"]["is_same"]
    asked = json.loads(Path("evaluation/run.json").read_text())["command"][1:]
    shown = run(*asked, "--resume", "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["was_finished"]


def test_a_study_has_nothing_left_to_run_and_reports_the_same(run):
    before = json.loads(Path("study/summary.json").read_text())
    done = run("study", "study.yaml", "--out", "study", "--json")
    assert done.exit_code == 0, done.output
    now = json.loads(done.stdout)
    assert not list(Path("study").rglob("train"))
    for name in ("comparisons", "costs", "room", "results", "interval_method"):
        assert now[name] == before[name], name


def test_a_study_is_repeated(run):
    done = run("study", "--repeat", "study", "--only", "blockwise", "--out", "again", "--jobs", "1", "--json")
    assert done.exit_code == 0, done.output
    assert [row["decoder"] for row in json.loads(done.stdout)["repeated"]] == ["blocks", "full canvas"]
