"""Recipes as a whole: sections, defaults, how they fit, and what their names stand for."""

from pathlib import Path

import pytest

from unmask.config.components import InvalidConfigError
from unmask.data.curriculum import Cosine, Gaussian
from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.models import LoraSpec, ScratchSpec
from unmask.objectives import Blockwise
from unmask.recipes.check import check
from unmask.recipes.inputs import load_examples, load_model
from unmask.recipes.recipe import build, read_recipe
from unmask.runtime.paths import ASSETS, is_hub_name, resolve_path
from unmask.tasks import Sorting

SCRATCH = {"from_scratch": {"hidden_size": 16, "layers": 1, "heads": 1}}
LEAST = {"model": SCRATCH, "data": {"task": "sorting"}}


def test_the_least_recipe_takes_the_defaults():
    recipe = build(LEAST)
    assert recipe.model.from_scratch == ScratchSpec(hidden_size=16, layers=1, heads=1)
    assert recipe.data.task == Sorting()
    assert recipe.decoder == Decoder()
    assert recipe.run.objective.name == "vanilla"
    assert (recipe.run.steps, recipe.run.lr, recipe.data.max_length, recipe.data.held_out) == (1000, 1e-5, 1024, 0)


def test_every_section_is_filled():
    recipe = build(
        {
            "model": {"path": "GSAI-ML/LLaDA-8B-Instruct", "lora": {"rank": 64}, "dtype": "bfloat16"},
            "data": {"path": "my_chats.jsonl", "max_length": 512},
            "objective": {"name": "blockwise", "block_size": 16},
            "decoder": {"block_size": 16, "selection": {"name": "threshold", "threshold": 0.9}},
            "run": {"steps": 20, "lr": "1e-4", "betas": [0.9, 0.95]},
        }
    )
    assert recipe.model.lora == LoraSpec(rank=64)
    assert recipe.run.objective == Blockwise(block_size=16)
    assert recipe.decoder.selection.threshold == 0.9
    assert (recipe.run.lr, recipe.run.betas) == (1e-4, (0.9, 0.95))


def test_files_need_not_be_there_to_build():
    values = {"model": {"path": "not/here.gguf"}, "data": {"path": "not/here.jsonl"}}
    assert build(values).data.path == "not/here.jsonl"
    assert [problem.partition(":")[0] for problem in check(values).problems] == ["model.path", "not/here.jsonl"]


def test_problems_of_all_sections_come_together():
    values = {**LEAST, "objective": "lfit", "run": {"lr": -1}, "decoder": {"block_size": 0}, "modle": {}}
    with pytest.raises(InvalidConfigError) as error:
        build(values)
    assert [problem.partition(":")[0] for problem in error.value.problems] == [
        "modle", "decoder.block_size", "objective", "run.lr",
    ]  # fmt: skip


def test_a_decoder_with_larger_blocks_than_the_objective_is_refused():
    objective = {"name": "blockwise", "block_size": 8}
    with pytest.raises(
        InvalidConfigError, match=r"decoder.block_size: 16 is larger than the objective's 8; .* write 8"
    ):
        build({**LEAST, "objective": objective, "decoder": {"block_size": 16}})
    build({**LEAST, "objective": objective, "decoder": {"block_size": 4}})
    build({**LEAST, "objective": "vanilla", "decoder": {"block_size": 16}})


def test_a_tokenizer_beside_a_checkpoint_is_refused():
    with pytest.raises(InvalidConfigError, match=r"model.tokenizer: is for from_scratch, and a checkpoint brings its"):
        build({**LEAST, "model": {"path": "a/b", "tokenizer": "ascii"}})


def test_read_recipe_applies_assignments(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("run: {steps: 3}\n")
    assert read_recipe(file, ("run.lr=1e-3", "run.steps=5")) == {"run": {"steps": 5, "lr": 1e-3}}


HUB = {"GSAI-ML/LLaDA-8B-Base": True, "HuggingFaceTB/SmolLM2-1.7B": True, "gpt2": True, "./gpt2": False, "/a/b": False,
       "~/model": False, "../model": False, "a/b/c": False, "x.gguf": False, "a/x.gguf": False,
       "asset:quickstart/model": False, "": False, "a b/c": False}  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), HUB.items())
def test_hub_names(name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_name(name) is expected


def test_a_folder_of_that_name_goes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert not is_hub_name("owner/name")


def test_resolve_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_path("owner/name") == Path("owner/name")
    assert resolve_path("~/model") == tmp_path / "model"
    assert resolve_path("./model") == tmp_path / "model"  # it keeps being a path
    with pytest.raises(UserError, match=r"unknown asset 'quikstart/model'; "):
        resolve_path("asset:quikstart/model")
    with pytest.raises(UserError, match=r"unknown asset '\.\./\.\./tests'"):
        resolve_path("asset:../../tests")
    known = [file.parent for file in ASSETS.rglob("config.json")]
    assert [resolve_path(f"asset:{folder.relative_to(ASSETS)}") for folder in known] == known


def test_load_examples_holds_out_the_first():
    section = build({**LEAST, "data": {"task": "sorting", "size": 10, "held_out": 4}})
    lm = load_model(section.model)
    found = load_examples(section.data, lm, block_size=8)
    train, held_out = found.training, found.held_out
    assert (len(train), len(held_out)) == (6, 4)
    assert not {e.source for e in train} & {e.source for e in held_out}
    assert train.report.rows == 10


def test_held_out_must_leave_something(tmp_path):
    rows = tmp_path / "x.jsonl"
    rows.write_text('{"prompt": "1=", "completion": "1"}\n' * 3)
    section = build({**LEAST, "data": {"path": str(rows), "held_out": 3}})
    with pytest.raises(UserError, match=r"data.held_out: expected fewer than the 3 rows there are, found 3"):
        load_examples(section.data, load_model(section.model), block_size=8)


def test_check_reads_no_more_than_the_first_rows(tmp_path):
    rows = tmp_path / "x.jsonl"
    rows.write_text('{"prompt": "1=", "completion": "1"}\n' * 250 + "broken\n")
    assert check({**LEAST, "data": {"path": str(rows)}}).problems == []
    rows.write_text('{"prompt": "1=", "completion": "1"}\n' * 5 + "broken\n")
    assert check({**LEAST, "data": {"path": str(rows)}}).problems[0].startswith(f"{rows}:6: expected one JSON object")


def curriculum(spec, **data):
    return {**LEAST, "data": {**(data or LEAST["data"]), "curriculum": spec}}


def test_a_curriculum_by_name_or_with_fields():
    assert build(LEAST).data.curriculum is None
    assert build(curriculum("gaussian")).data.curriculum == Gaussian()
    spec = {"name": "cosine", "by": "level", "order": ["easy", "hard"]}
    assert build(curriculum(spec, path="x.jsonl")).data.curriculum == Cosine(by="level", order=("easy", "hard"))


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("gausian", "data.curriculum: unknown curriculum 'gausian'; did you mean 'gaussian'?"),
        (
            {"by": "level"},
            "data.curriculum: expected 'name: …', found none; known: balanced, classic, cosine, gaussian",
        ),
        ({"name": "gaussian", "sigma": -1}, "data.curriculum.sigma: expected at least 0.01, found -1; "),
        (
            {"name": "gaussian", "by": "level"},
            "data.curriculum.by: a task has no columns, found 'level'; write by: len",
        ),
    ],
)
def test_a_wrong_curriculum_is_one_line(spec, problem):
    with pytest.raises(InvalidConfigError) as error:
        build(curriculum(spec))
    assert len(error.value.problems) == 1
    assert error.value.problems[0].startswith(problem)


def test_check_looks_at_the_difficulty_of_the_first_rows(tmp_path):
    rows = tmp_path / "x.jsonl"
    rows.write_text("".join(f'{{"prompt": "1=", "completion": "1", "level": "{v}"}}\n' for v in ("low", "high") * 150))

    def problems(**spec):
        return check(curriculum({"name": "classic", **spec}, path=str(rows))).problems

    assert problems(by="level", order=["low", "mid", "high"]) == []  # the last rows may say mid
    assert problems(by="level", order=["low"])[0].startswith("data.curriculum.order: expected one of low under 'level'")
    assert problems(by="level")[0].startswith("data.curriculum.by: expected numbers under 'level', found high, low; ")
    assert problems(by="levle") == [f"data.curriculum.by: {rows} has no column 'levle'; did you mean 'level'?"]
