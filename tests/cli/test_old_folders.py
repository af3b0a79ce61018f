"""What 0.1.0 wrote (``tests/fixtures/make.py``) opens, goes on and repeats; what a newer unmask wrote is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import unmask
from unmask.runtime.sealed import FORMAT
from unmask.train.run_folder import fingerprint_of

OLD = Path(__file__).parents[1] / "fixtures" / "0.1.0"


@pytest.fixture(autouse=True)
def _old(tmp_path):
    """Copy them to where the test runs: records name each other by relative paths."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)


def lines_of(run):
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


def edit(path, change):
    """Change the object in a JSON file, or in the first line of one of JSON lines."""
    first, rest = (path.read_text(), "") if path.suffix == ".json" else path.read_text().split("\n", 1)
    values = json.loads(first)
    change(values)
    path.write_text(f"{json.dumps(values)}\n{rest}")


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
        now, then = (
            [line[name] for line in lines if name in line] for lines in (lines_of("stopped"), lines_of("finished"))
        )
        assert now == pytest.approx(then, rel=1e-4), name
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
    queried = json.loads(Path("evaluation/run.json").read_text())["command"][1:]
    shown = run(*queried, "--resume", "--json")
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


def with_another_field(record):
    """Describe the objective of a run by a field that no version has, as one would that renamed its own."""
    record["settings"]["objective"]["was_renamed"] = 1
    record["fingerprint"] = fingerprint_of(record["settings"])


def test_a_run_whose_objective_has_other_fields_now_is_known_by_its_recipe(run):
    edit(Path("stopped/run.json"), with_another_field)
    assert run("sft", "recipe.yaml", "--out", "stopped", "--resume").exit_code == 0


def test_a_run_without_recipe_whose_objective_has_other_fields_now_is_refused(refused):
    edit(Path("stopped/run.json"), lambda record: [with_another_field(record), record.update(recipe=None)])
    refused("sft", "recipe.yaml", "--out", "stopped", "--resume", says="go on with pip install unmask==0.1.0")


GENERATE = ("generate", "--prompt", "1=", "--max-new-tokens", "8")
NEWER = {
    "a model": ("finished/model/config.json", "unmask", (*GENERATE, "finished")),
    "an adapter": ("adapter/unmask_adapter.json", None, (*GENERATE, "adapter")),
    "the facts of an adapter": ("adapter/unmask_adapter.json", "facts", (*GENERATE, "adapter")),
    "a run": ("stopped/run.json", None, ("sft", "recipe.yaml", "--out", "stopped", "--resume")),
    "a trace": ("trace.jsonl", None, ("plot", "trace.jsonl", "--out", "t.png")),
    "an evaluation": ("evaluation/run.json", None, ("eval", "--repeat", "evaluation")),
    "a study": ("study/study.json", None, ("study", "study.yaml", "--out", "study")),
    "a run of a study": ("study/runs/all/base/result.json", None, ("study", "--repeat", "study", "--out", "again")),
    "a report": ("study/summary.json", None, ("study", "--repeat", "study", "--out", "again")),
}


@pytest.mark.parametrize("kind", NEWER)
def test_what_a_newer_version_wrote_is_refused(refused, kind):
    path, inside, command = NEWER[kind]

    def change(values):
        (values[inside] if inside else values)["unmask_trace" if kind == "a trace" else "format"] = FORMAT + 1

    edit(Path(path), change)
    refused(
        *command, says=f"was written by a newer unmask (format {FORMAT + 1}; this one reads up to {FORMAT}); upgrade"
    )


def test_all_that_is_written_names_its_format(run):
    """As 0.1.0's fixtures were made, in small; a study is looked at by what its repetition writes."""
    assert run("sft", "recipe.yaml", "--out", "new", "--set", "run.steps=2").exit_code == 0
    assert run("sft", "adapted.yaml", "--out", "adapted", "--set", "run.steps=2").exit_code == 0
    queried = ("--task", "sorting", "--problems", "2", "--max-new-tokens", "16", "--block-size", "8")
    assert run("eval", "new", *queried, "--out", "judged").exit_code == 0
    assert run("likelihood", "new", "sorting", "--limit", "2", "--out", "bounds.json").exit_code == 0
    assert run(*GENERATE, "new", "--save-trace", "new.jsonl").exit_code == 0
    assert run("study", "study.yaml", "--out", "study").exit_code == 0
    files = ("new/run.json", "adapted/model/unmask_adapter.json", "judged/run.json", "bounds.json", "study/study.json",
             "study/summary.json")  # fmt: skip
    found = {file: json.loads(Path(file).read_text()) for file in files}
    found |= {"facts": found["adapted/model/unmask_adapter.json"]["facts"]}
    for file in ("new/model/config.json", "new/checkpoints/checkpoint-2/config.json"):
        found[file] = json.loads(Path(file).read_text())["unmask"]
    assert {name: values.get("format") for name, values in found.items()} == dict.fromkeys(found, FORMAT)
    assert json.loads(Path("new.jsonl").read_text().splitlines()[0])["unmask_trace"] == FORMAT
