"""What `decoder.grid` or the model says holds for all commands: after a prompt of 10 the first block of 8 has 6."""

import json

import pytest

from unmask.models import load

S, LEAD = 8, 2
ROW = {"prompt": "aaaaaaaaaa", "completion": "bbbb"}
CHANGED = "the model was trained with blocks counted from the answer; this run counts from the text"


@pytest.fixture
def told(run, models, recipe, rows, tmp_path):
    """Run a command on a recipe whose model has blocks of 8 and counts them from the answer."""
    data = {"path": str(rows(*[ROW] * 4)), "chat": False, "max_length": 10 + S - LEAD, "tail_blocks": 0}
    sections = {"model": {"path": models.blocks}, "data": data, "run": {"steps": 1, "batch_size": 2}}
    names = {"RECIPE": recipe(objective="blockwise", decoder={"grid": "text"}, **sections), "OUT": tmp_path / "out"}

    def told(*command, code=0):
        result = run(*(names.get(word, word) for word in command))
        assert result.exit_code == code, result.stderr
        return result

    return told


def trained(told, out, *more):
    told("sft", "RECIPE", "--out", str(out), *more)
    return out / "model"


def test_check_announces_the_grid_and_counts_the_room_for_blocks_by_it(told, tmp_path):
    lines = told("check", "RECIPE").stderr.splitlines()
    assert [line for line in lines if "counted from" in line] == [f"note: {CHANGED}"]
    told("check", "RECIPE", "--set", "decoder.grid=answer", code=2)  # a block of 8 does not fit after the prompt


def test_preview_shows_the_shorter_block(told):
    (example, *_) = json.loads(told("preview", "RECIPE", "--json").stdout)["examples"]
    assert (example["grid"], example["block_size"]) == ("text", S)
    assert sum(segment["tokens"] for segment in example["segments"] if segment["block"] == 0) == S - LEAD
    assert "1 blocks of 8, counted from the text: the first 6" in told("preview", "RECIPE").stdout


def test_a_run_records_the_grid_and_so_does_its_model(told, tmp_path):
    folder = trained(told, tmp_path / "out")
    assert json.loads((tmp_path / "out/run.json").read_text())["settings"]["grid"] == "text"
    facts = load(folder).facts
    assert (facts.grid, facts.block_size, facts.canvas) == ("text", S, S - LEAD)


def test_commands_on_the_trained_model_count_as_it_was_trained(told, tmp_path):
    folder, trace, judged = trained(told, tmp_path / "out"), tmp_path / "trace.jsonl", tmp_path / "judged"
    told("generate", folder, "--prompt", "a", "--max-new-tokens", "16", "--save-trace", trace)
    head, first = (json.loads(line) for line in trace.read_text().splitlines()[:2])
    lead = len(head["rows"][0]["prompt_ids"]) % S
    assert lead, "a prompt of whole blocks shows nothing"
    assert first["block"] == [0, S - lead]
    told("eval", folder, "--task", "sorting", "--problems", "1", "--out", judged)
    assert json.loads((judged / "run.json").read_text())["settings"]["decoder"]["blocks"]["grid"] == "text"


def test_a_further_run_keeps_the_grid_of_the_model_unless_told_otherwise(told, tmp_path):
    folder = trained(told, tmp_path / "first")
    on = ("--set", f"model.path={folder}", "--set", "decoder={}")
    assert load(trained(told, tmp_path / "second", *on)).facts.grid == "text"
    back = (*on, "--set", "decoder.grid=answer", "--set", "data.max_length=40")
    assert "counted from the text; this run counts from the answer" in told("check", "RECIPE", *back).stderr
    assert load(trained(told, tmp_path / "third", *back)).facts.grid == "answer"


def test_a_run_goes_on_with_its_own_grid_only(told, tmp_path):
    constant = ("sft", "RECIPE", "--out", "OUT", "--set", "run.schedule=constant", "--set", "data.max_length=40")
    told(*constant)
    on = (*constant, "--resume", "--set", "run.steps=2")
    assert "grid was 'text' and is None" in told(*on, "--set", "decoder.grid=answer", code=2).stderr
    assert "2 steps in" in told(*on).stdout


def test_a_target_of_an_export_implies_the_grid(told):
    unsaid = ("--set", "decoder={}")
    for target, grid in (("sdar", "text"), ("fast_dllm_v2", "text"), ("llada", "answer"), ("gguf", "answer")):
        more = (*unsaid, "--set", f"run.export={target}", "--set", "data.max_length=40")
        lines = told("check", "RECIPE", *more, code=0 if target == "gguf" else 2).stderr  # it is a shifted Llama
        assert (CHANGED in lines) == (grid == "text"), target
        assert ("computed by another class than this llama model" in lines) == (grid == "text"), target
    wrong = told("check", "RECIPE", "--set", "run.export=sdra", code=2).stderr
    assert "run.export: expected the name of a family of checkpoints, gguf or transformers, found 'sdra'" in wrong
    assert "did you mean 'sdar'?" in wrong


def test_a_model_without_blocks_takes_those_of_the_target(run, recipe, models, rows):
    file = recipe(
        model={"path": models.digits}, data={"path": str(rows(*[ROW] * 4))}, objective="blockwise",
        run={"steps": 1, "export": "sdar"},
    )  # fmt: skip
    (example, *_) = json.loads(run("preview", file, "--json").stdout)["examples"]
    assert (example["block_size"], example["grid"]) == (4, "text")
    assert "SDAR models are computed by another class" in run("check", file).stderr
