"""On a model that was trained with blocks of 8 every command takes that size, and training that changes it says so."""

import json

import pytest

from unmask.models import load
from unmask.recipes.recipe import read_recipe
from unmask.study.worker import JOB, RESULT, work

S = 8
ROW = {"prompt": "aaaaaaaaaa", "completion": "bbbb"}
CHANGED = "note: the model was trained with blocks of 8; this run makes it 4"


@pytest.fixture
def told(run, models, recipe, rows, tmp_path):
    """Run a command on the model, or on a recipe whose rows have room for blocks of 8 and for none of 32."""
    data = {"path": str(rows(*[ROW] * 4)), "chat": False, "max_length": 10 + 3 * S}
    file = recipe(model={"path": models.blocks}, data=data, objective="blockwise", run={"steps": 1, "batch_size": 2})
    names = {"MODEL": models.blocks, "RECIPE": file, "OUT": tmp_path / "out"}

    def told(*command):
        result = run(*(names.get(word, word) for word in command))
        assert result.exit_code == 0, result.stderr
        return result

    return told


def sizes_of_check(told, out):
    """A row without room for a block is a problem."""
    assert "this run makes it" not in told("check", "RECIPE").stderr
    yield S


def sizes_of_sft(told, out):
    assert "this run makes it" not in told("sft", "RECIPE", "--out", "OUT").stderr
    settings = json.loads((out / "run.json").read_text())["settings"]
    yield settings["block_size"]
    yield settings["objective"]["block_size"]
    yield load(out / "model").facts.block_size


def sizes_of_preview(told, out):
    yield json.loads(told("preview", "RECIPE", "--json").stdout)["examples"][0]["block_size"]


def sizes_of_generate(told, out):
    told("generate", "MODEL", "--prompt", "a", "--max-new-tokens", "16", "--save-trace", "OUT")
    yield json.loads(out.read_text().splitlines()[0])["block_size"]


def sizes_of_eval(told, out):
    told("eval", "MODEL", "--task", "sorting", "--problems", "1", "--max-new-tokens", "16", "--out", "OUT")
    yield json.loads((out / "run.json").read_text())["settings"]["decoder"]["block_size"]


def sizes_of_study(told, out):
    (file,) = out.parent.glob("recipe.yaml")
    judged = {"task": "sorting", "problems": 2, "validation": 1, "bound": {"examples": 1, "samples": 1}}
    job = {"kind": "train", "recipe": read_recipe(file), "evaluate": judged, "which": "test", "keep": True, "about": {}}
    out.mkdir()
    (out / JOB).write_text(json.dumps(job))
    work(out)
    yield json.loads((out / "train/run.json").read_text())["settings"]["block_size"]
    yield json.loads((out / RESULT).read_text())["points"][-1]["bounds"]["block_size"]


def sizes_of_likelihood(told, out):
    yield json.loads(told("likelihood", "MODEL", "sorting", "--limit", "1", "--draws", "1", "--json").stdout)[
        "block_size"
    ]


def sizes_of_analyze(told, out):
    few = ("--limit", "1", "--passes", "1", "--bins", "1")
    yield json.loads(told("analyze", "MODEL", "sorting", *few, "--json").stdout)["block_size"]


COMMANDS = [value for name, value in globals().items() if name.startswith("sizes_of_")]


@pytest.mark.parametrize("sizes", COMMANDS, ids=lambda command: command.__name__.removeprefix("sizes_of_"))
def test_all_commands_agree(told, sizes, tmp_path):
    assert set(sizes(told, tmp_path / "out")) == {S}


def test_another_size_is_announced_by_check_and_sft_in_one_line(told, tmp_path):
    for command in (("check", "RECIPE"), ("sft", "RECIPE", "--out", "OUT")):
        lines = told(*command, "--set", "objective={name: blockwise, block_size: 4}").stderr.splitlines()
        assert [line for line in lines if "trained with" in line] == [CHANGED if command[0] == "check" else CHANGED[6:]]
    assert load(tmp_path / "out/model").facts.block_size == 4


def test_a_canvas_that_the_size_of_the_model_does_not_divide_is_a_problem_of_check_and_sft(told, run, tmp_path):
    for command in (("check",), ("sft", "--out", tmp_path / "out")):
        result = run(*command, tmp_path / "recipe.yaml", "--set", "data.canvas=12")
        assert (result.exit_code, "expected a multiple of objective.block_size=8" in result.stderr) == (2, True)


def test_a_model_decodes_the_canvas_that_it_was_trained_for(told, run, tmp_path):
    """Fitted canvases: the longest answer, four letters and its end, in whole blocks; a fixed one as it is."""
    told("sft", "RECIPE", "--out", "OUT")
    folder = tmp_path / "out/model"
    assert load(folder).facts.canvas == S
    assert json.loads(run("inspect", folder, "--json").stdout)["canvas"] == S
    for options, columns in (((), S), (("--max-new-tokens", "16"), 16)):
        trace = tmp_path / f"{columns}.jsonl"
        assert run("generate", folder, "--prompt", "a", "--save-trace", trace, *options).exit_code == 0
        assert json.loads(trace.read_text().splitlines()[0])["rows"][0]["canvas"] == columns
    judged = run("eval", folder, "--task", "sorting", "--problems", "1", "--out", tmp_path / "judged")
    assert judged.exit_code == 0, judged.stderr
    assert json.loads((tmp_path / "judged/run.json").read_text())["settings"]["max_new_tokens"] == S
    told("sft", "RECIPE", "--out", str(tmp_path / "fixed"), "--set", "data.canvas=16")
    assert load(tmp_path / "fixed/model").facts.canvas == 16


def test_a_run_whose_size_came_from_the_model_goes_on(told):
    constant = ("sft", "RECIPE", "--out", "OUT", "--set", "run.schedule=constant")
    told(*constant)
    assert "2 steps in" in told(*constant, "--resume", "--set", "run.steps=2").stdout
