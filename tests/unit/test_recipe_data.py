"""What a recipe's data section loads: held-out rows, a validation file, several files with weights."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from unmask.config.components import InvalidConfigError
from unmask.errors import UserError
from unmask.recipes.check import check
from unmask.recipes.inputs import Examples, load_examples, load_model
from unmask.recipes.recipe import build
from unmask.recipes.run import run_recipe
from unmask.train.run_folder import RUN_FILE, fingerprint_of

SCRATCH = {"from_scratch": {"hidden_size": 16, "layers": 1, "heads": 1}}


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Return a function that writes a file of sums, ``a+b=``, in the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(name, count, start=0):
        made = [{"prompt": f"{i}+{i}=", "completion": str(2 * i)} for i in range(start, start + count)]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in made))
        return name

    return write


def recipe_of(data, **run):
    return {"model": SCRATCH, "data": {"chat": False, **data}, "run": {"steps": 2, "batch_size": 4, **run}}


def loaded(data) -> Examples:
    recipe = build(recipe_of(data))
    return load_examples(recipe.data, load_model(recipe.model), block_size=4)


def lines(examples):
    return {int(example.source.rpartition(":")[2]) for example in examples}


def test_held_out_rows_of_a_file_are_drawn(rows):
    rows("a.jsonl", 40)
    found = loaded({"path": "a.jsonl", "held_out": 8})
    assert (len(found.held_out), len(found.training)) == (8, 32)
    assert lines(found.held_out) != set(range(1, 9))
    assert found.facts["held_out"] == {"drawn": "by prompt", "rows": 8, "examples": 8}
    assert found.remarks == ["held out: 8 rows, drawn by their prompts; 8 examples"]
    again = loaded({"path": "a.jsonl", "held_out": 8, "seed": 1})
    assert lines(again.held_out) != lines(found.held_out)


def test_a_task_holds_its_first_problems_out(rows):
    del rows
    found = loaded({"task": "sorting", "size": 20, "held_out": 0.25})
    whole = loaded({"task": "sorting", "size": 20})
    assert [e.answer for e in found.held_out] == [e.answer for e in whole.training[:5]]
    assert [e.answer for e in found.training] == [e.answer for e in whole.training[5:]]


@pytest.mark.parametrize("value", [-1, 1.5, 1.0, "many"])
def test_an_amount_that_is_no_number_of_rows_and_no_share_is_refused(value):
    with pytest.raises(InvalidConfigError, match="data.held_out: expected a"):
        build(recipe_of({"path": "a.jsonl", "held_out": value}))


def test_a_validation_file_is_held_out_and_its_overlap_is_said(rows):
    rows("a.jsonl", 10)
    rows("b.jsonl", 6, start=8)
    found = loaded({"path": "a.jsonl", "validation": "b.jsonl"})
    assert (len(found.training), len(found.held_out)) == (10, 6)
    assert {e.source.partition(":")[0] for e in found.held_out} == {"b.jsonl"}
    assert found.facts["held_out"] == {"drawn": ["b.jsonl"], "rows": 6, "examples": 6}
    assert found.remarks == [
        "data.validation: 2 of 6 rows begin with a prompt that is trained on, too; the held-out loss says less about "
        "new prompts"
    ]
    assert loaded({"path": "a.jsonl", "validation": [rows("c.jsonl", 3, start=50)]}).remarks == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"path": "a.jsonl", "validation": "b.jsonl", "held_out": 2}, "data.validation: expected no data.held_out"),
        (
            {"task": "sorting", "validation": "b.jsonl"},
            "data.validation: is for files; with a task, write data.held_out",
        ),
        (
            {"path": "a.jsonl", "sources": ["b.jsonl"]},
            "data: expected one of path, sources and task, found path and so",
        ),
        ({"sources": [{"path": "a.jsonl", "weight": 2}, "b.jsonl"]}, "data.sources: .* found none for b.jsonl"),
        ({"sources": [{"path": "a.jsonl", "weight": 0}]}, "data.sources.weight: expected more than 0"),
        ({"sources": [{"path": "a.jsonl", "wieght": 1}]}, "data.sources.wieght: unknown key; did you mean 'weight'"),
        ({"sources": []}, "data.sources: expected at least one file"),
        ({"sources": [3]}, "data.sources: expected a file, or a mapping"),
        ({"path": ["a.jsonl", "b.jsonl"], "size": 3}, "data.size: is for one file or a task"),
        (
            {"sources": [{"path": "a.jsonl", "weight": 1}], "curriculum": "classic"},
            "data.curriculum: goes by difficulty, and the weights of data.sources by file",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(data, message):
    with pytest.raises(InvalidConfigError, match=message):
        build(recipe_of(data))


def test_check_reads_the_validation_file_and_holds_out_as_the_run_does(rows):
    rows("a.jsonl", 4)
    Path("bad.jsonl").write_text('{"prompt": "1"}\n')
    assert check(recipe_of({"path": "a.jsonl", "held_out": 3})).problems == []
    assert check(recipe_of({"path": "a.jsonl", "held_out": 4})).problems[0].startswith("data.held_out: expected fewer")
    assert "of them is none" in check(recipe_of({"path": "a.jsonl", "held_out": 0.0001})).problems[0]
    assert "bad.jsonl" in check(recipe_of({"path": "a.jsonl", "validation": "bad.jsonl"})).problems[0]
    assert check(recipe_of({"path": "a.jsonl", "validation": "none.jsonl"})).problems[0].startswith("none.jsonl: ")


def test_files_without_weights_are_read_one_after_the_other(rows):
    rows("a.jsonl", 6)
    rows("b.jsonl", 2, start=10)
    for data in ({"path": ["a.jsonl", "b.jsonl"]}, {"sources": ["a.jsonl", {"path": "b.jsonl"}]}):
        found = loaded(data)
        assert found.blend is None
        assert [e.source for e in found.training][5:] == ["a.jsonl:6", "b.jsonl:1", "b.jsonl:2"]
        assert found.facts["files"] == [
            {"path": "a.jsonl", "rows": 6, "examples": 6, "share": 0.75},
            {"path": "b.jsonl", "rows": 2, "examples": 2, "share": 0.25},
        ]
    assert found.remarks[1] == "b.jsonl: 2 rows, 2 examples to train on, 25.0% of those that are drawn"


def test_each_file_has_its_own_columns_and_size(rows):
    rows("a.jsonl", 6)
    Path("q.csv").write_text("frage,antwort\n1+2=,3\n")
    columns = {"prompt": "frage", "completion": "antwort"}
    found = loaded({"sources": [{"path": "a.jsonl", "size": 2}, {"path": "q.csv", "columns": columns}]})
    assert [e.source for e in found.training] == ["a.jsonl:1", "a.jsonl:2", "q.csv:2"]


def test_weights_outlive_the_draw_of_held_out_rows(rows):
    rows("a.jsonl", 30)
    rows("b.jsonl", 10, start=50)
    weighted = [{"path": "a.jsonl", "weight": 1}, {"path": "b.jsonl", "weight": 3}]
    found = loaded({"sources": weighted, "held_out": 0.2})
    assert found.blend.shares == [0.25, 0.75]
    names = [{found.training[i].source.partition(":")[0] for i in members} for members in found.blend.members]
    assert names == [{"a.jsonl"}, {"b.jsonl"}]
    assert sum(map(len, found.blend.members)) == len(found.training)
    assert [file["examples"] for file in found.facts["files"]] == [len(members) for members in found.blend.members]


def test_the_record_names_the_files_and_a_resumed_run_is_bit_for_bit_the_same(rows, tmp_path):
    rows("a.jsonl", 12)
    rows("b.jsonl", 4, start=50)
    weighted = [{"path": "a.jsonl", "weight": 1}, {"path": "b.jsonl", "weight": 2}]
    data = {"sources": weighted, "held_out": 2}
    made = build(recipe_of(data, steps=4, save_every=2, schedule="constant"))
    run_recipe(made, tmp_path / "whole", show=False)
    record = json.loads((tmp_path / "whole" / RUN_FILE).read_text())
    assert [file["path"] for file in record["data"]["files"]] == ["a.jsonl", "b.jsonl"]
    assert record["data"]["held_out"]["drawn"] == "by prompt"
    assert [weight for _, weight in record["settings"]["blend"]] == [1, 2]
    run_recipe(build(recipe_of(data, steps=2, save_every=2, schedule="constant")), tmp_path / "cut", show=False)
    run_recipe(made, tmp_path / "cut", resume=True, show=False)
    losses = [
        [json.loads(line).get("loss") for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "cut")
    ]
    assert losses[0][-2:] == losses[1][-2:]
    other = [{"path": "a.jsonl", "weight": 1}, {"path": "b.jsonl", "weight": 1}]
    changed = build(recipe_of({"sources": other, "held_out": 2}, steps=4, save_every=2, schedule="constant"))
    with pytest.raises(UserError, match="blend was .* weights"):
        run_recipe(changed, tmp_path / "cut", resume=True, show=False)


def test_a_run_of_an_older_version_goes_on_with_the_first_rows_held_out(rows, tmp_path):
    rows("a.jsonl", 12)
    values = recipe_of({"path": "a.jsonl", "held_out": 3}, steps=4, save_every=2, schedule="constant")
    recipe = build(values | {"run": {**values["run"], "steps": 2}})
    lm = load_model(recipe.model)
    old = load_examples(recipe.data, lm, block_size=recipe.block_size(None), first=True)
    assert lines(old.held_out) == {1, 2, 3}
    from unmask.train import train

    folder = tmp_path / "old"
    layout = recipe.data.layout(recipe.block_size(None))
    train(lm, old.training, recipe.fitted(None).run, out=folder, held_out=old.held_out, layout=layout, show=False)
    record = json.loads((folder / RUN_FILE).read_text())
    del record["data"]
    assert record["fingerprint"] == fingerprint_of(record["settings"])
    (folder / RUN_FILE).write_text(json.dumps(record))
    run_recipe(build(values), folder, resume=True, show=False)
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(a <= b for a, b in pairwise(steps))
    assert steps[-1] == 4
