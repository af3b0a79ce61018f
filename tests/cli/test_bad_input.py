"""What a user sees who made a mistake: exit code 2, one line for each on stderr, with the place and the remedy."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file

GOOD = {"prompt": "12=", "completion": "12"}
TALK = {"messages": [{"role": "user", "content": "What is two"}, {"role": "assistant", "content": "It is four."}]}


def sft(recipe_path, *more):
    return ("sft", recipe_path, "--out", "run", *more)


DATA = {
    "missing": (None, "rows.jsonl: expected a data file, found none; check the path"),
    "empty": (b"", "rows.jsonl: expected rows, found an empty file"),
    "binary": (bytes(range(256)) * 8, "rows.jsonl: expected UTF-8 text, found a binary file; save it as UTF-8"),
    "no JSON": (
        json.dumps(GOOD).encode() + b"\n{'prompt': 1}\n",
        "rows.jsonl:2: expected one JSON object, found '{'prompt': 1}' (Expecting property name",
    ),
    "no response": (
        json.dumps(GOOD).encode() + b'\n{"prompt": "3="}\n',
        "rows.jsonl:2: expected text under 'completion', found only prompt (no response: 1 of 2); mend them, or write "
        "data.on_bad=skip",
    ),
    "empty response": (
        json.dumps(GOOD).encode() + b'\n{"prompt": "3=", "completion": " "}\n',
        "rows.jsonl:2: expected a response, found an empty one (empty response: 1 of 2)",
    ),
    "prompt too long": (
        json.dumps(GOOD).encode() + b'\n{"prompt": "' + b"1" * 60 + b'", "completion": "1"}\n',
        "rows.jsonl:2: expected a prompt that leaves room for a block of 8 in max_length=64, found 60 tokens",
    ),
    "unknown columns": (b'{"a": 1, "b": 2}\n', "found a, b; write data.columns={prompt: ..., completion: ...}"),
    "all bad": (b'{"prompt": "3=", "completion": ""}\n', "no usable row is left: mend them"),
}


@pytest.mark.parametrize(("content", "says"), DATA.values(), ids=DATA)
@pytest.mark.parametrize("command", ["check", "sft"])
def test_data(refused, recipe, models, tmp_path, command, content, says):
    if content is not None:
        (tmp_path / "rows.jsonl").write_bytes(content)
    path = recipe(model={"path": models.digits}, data={"path": "rows.jsonl", "max_length": 64})
    refused(*(sft(path) if command == "sft" else (command, path)), says=says)
    assert not (tmp_path / "run").exists()


def test_bad_rows_are_skipped_if_asked_and_told(run, refused, recipe, models, rows):
    rows(GOOD, GOOD, {"prompt": "3="}, {"prompt": "4=", "completion": ""})
    path = recipe(model={"path": models.digits}, data={"path": "rows.jsonl", "on_bad": "skip"})
    for command in (("check", path), sft(path)):
        result = run(*command)
        assert result.exit_code == 0, result.output
        assert "4 rows, 2 examples; left out: rows.jsonl:3" in result.stderr
        assert "rows.jsonl:4: expected a response, found an empty one (empty response: 1 of 4)" in result.stderr
    rows({"prompt": "4=", "completion": ""})
    refused("check", path, says="rows.jsonl:1: expected a response, found an empty one")


RECIPES = {
    "missing": (None, "recipe.yaml: no such recipe; expected a YAML file"),
    "empty": (b"", "recipe.yaml: expected 'key: value' lines, found an empty file"),
    "binary": (b"\xff\xfe\x00", "recipe.yaml: expected a YAML text file, found binary data"),
    "broken": (b"run:\n  steps: [1,\n  lr: 3\n", "recipe.yaml:4:1: not valid YAML: expected ',' or ']'"),
    "tab": (b"run:\n\tsteps: 1\n", "recipe.yaml:2:1: not valid YAML:"),
    "control": (b"run: \x01\n", "recipe.yaml: not valid YAML:"),
    "list": (b"- run\n- model\n", "recipe.yaml: expected 'key: value' lines, found a list; write for example"),
    "text": (b"hello", "recipe.yaml: expected 'key: value' lines, found text"),
    "twice": (b"run: {lr: 1}\nrun: {lr: 2}\n", "recipe.yaml:2:1: not valid YAML: key 'run' stands here twice"),
}


@pytest.mark.parametrize(("content", "says"), RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("command", ["check", "sft"])
def test_recipe_file(refused, tmp_path, command, content, says):
    if content is not None:
        (tmp_path / "recipe.yaml").write_bytes(content)
    refused(*(sft("recipe.yaml") if command == "sft" else (command, "recipe.yaml")), says=says)


def test_a_folder_in_place_of_a_recipe(refused, tmp_path):
    (tmp_path / "recipes").mkdir()
    refused("check", "recipes", says="recipes: expected a recipe, found a folder; write the YAML file in it")


FIELDS = {
    "run.lr=fast": "run.lr: expected a number, found 'fast'; the default is 1e-05",
    "run.lr=.nan": "run.lr: expected a finite number, found nan",
    "run.steps=2.5": "run.steps: expected a whole number, found 2.5",
    "run.stpes=3": "run.stpes: unknown key; did you mean 'steps'?",
    "run.betas=[0.9]": "run.betas.1: missing",
    "run.objective=lift": "run.objective: stands beside run, not in it; write 'objective: …' at the top level",
    "run=fast": "run: expected fields, found 'fast'; its fields are objective, steps",
    "rum.steps=3": "rum: unknown section; did you mean 'run'?",
    "objective.block_size=0": "objective.block_size: expected at least 1, found 0",
    "objective.rho=1": "objective.rho: unknown key; known: block_size, blocks",
    "objective=blokwise": "objective: unknown objective 'blokwise'; did you mean 'blockwise'?",
    "objective=7": "objective: expected a name, found 7; known: block_diffusion, blockwise",
    "decoder.selection=thresold": "decoder.selection: unknown selection 'thresold'; did you mean 'threshold'?",
    "decoder={selection: margin}": "decoder.selection: unknown selection 'margin'; known: credit, dilated, dream",
    "decoder={selection: quota, threshold: 0.9}": "decoder: threshold=0.9 needs the selection 'threshold'",
    "decoder.block_size=16": "decoder.block_size: 16 is larger than the objective's 8",
    "model.path=x.gguf": "model: expected either path or from_scratch, found both",
    "model={}": "model: expected either path or from_scratch, found neither; write for example model: {path:",
    "model={path: asset:nope}": "model.path: unknown asset 'nope'; ",
    "model={path: ./nope}": "nope'; write a model folder, a .gguf file or a hub name (owner/name)",
    "model.dtype=fp16": "model.dtype: expected 'float32', 'bfloat16' or 'float16', found 'fp16'",
    "model.device=gpu": "model.device: device must be cpu, cuda, cuda:0, mps or the like, found 'gpu'",
    "model.device=cuda:99": "model.device: device 'cuda:99': this machine has",
    "model.from_scratch.heads=5": "model.from_scratch: from_scratch.hidden_size must be a multiple of 2 x heads = 10",
    "model.from_scratch.depth=5": "model.from_scratch.depth: unknown key; known:",
    "model.tokenizer=dgits": "model.tokenizer: unknown tokenizer 'dgits'",
    "model.lora={rank: 4}": "model.lora: adapters on random weights cannot learn",
    "model.lora=yes": "model.lora: expected fields, found True",
    "data.task=sorted": "data.task: unknown task 'sorted'; did you mean 'sorting'?",
    "data.task.shortest=9": "data.task: expected shortest up to longest=8, found 9",
    "data.split=dev": "split: expected train or test, found 'dev'",
    "data.path=x.jsonl": "data: expected either path or task, found both",
    "data.canvas=12": "data.canvas: expected a multiple of objective.block_size=8, found 12; write 16",
    "data.canvas=1024": "data.canvas: expected less than data.max_length=1024, found 1024",
    "data.canvas=16": "expected at most 16 tokens after a prompt of 9, found 27 (answer too long",
    "data.held_out=24": "data.held_out: expected fewer than data.size=24, found 24",
}


@pytest.mark.parametrize(("assignment", "says"), FIELDS.items(), ids=FIELDS)
def test_fields(refused, recipe, assignment, says):
    refused("check", recipe(), "--set", assignment, says=says)


ASSIGNMENTS = {
    "run.steps": "--set: expected path=value, found 'run.steps'; write for example --set run.steps=100",
    "=3": "--set: expected path=value, found '=3'",
    "run..steps=3": "--set: expected path=value",
    "run.lr.peak=3": "--set run.lr.peak: 'lr' holds 0.001, which has no fields",
    "run.lr=[1": "--set run.lr:1:3: not valid YAML:",
}


@pytest.mark.parametrize(("assignment", "says"), ASSIGNMENTS.items(), ids=ASSIGNMENTS)
def test_set(refused, recipe, assignment, says):
    refused(*sft(recipe()), "--set", assignment, says=says)


def test_check_reports_all_at_once(refused, tmp_path, models, rows):
    rows("{", GOOD)
    (tmp_path / "recipe.yaml").write_text(f"""
model: {{path: {models.digits}, dtpye: float32}}
data: {{path: rows.jsonl, max_length: 64}}
objective: {{name: blockwise, block_size: 0}}
run: {{lr: fast, stpes: 10}}
""")
    says = (
        "model.dtpye: unknown key; did you mean 'dtype'?",
        "objective.block_size: expected at least 1, found 0",
        "run.lr: expected a number",
        "run.stpes: unknown key",
        "rows.jsonl:1: expected one JSON object",
    )
    refused("check", "recipe.yaml", says=says, problems=5)
    refused("check", "recipe.yaml", "--set", f"model={{path: {models.digits}}}", says=says[1:], problems=4)


def test_check_json_lists_the_problems_on_stdout(run, recipe):
    result = run("check", recipe(), "--set", "run.lr=fast", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["problems"] == ["run.lr: expected a number, found 'fast'; the default is 1e-05"]


def edited(folder, target, **changes):
    """Copy a model folder and change its config.json."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **changes}))
    return target


def without_facts(model, target, **changes):
    from pathlib import Path

    return edited(Path(model), target, unmask={}, **changes)


BAD_MODELS = {
    "mask id": ({"mask_token_id": 4000}, "the mask token's id must be below the embedding's"),
    "window": (
        {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 4},
        "cannot be made bidirectional: it attends within a window of 4 tokens; load a model with full attention",
    ),
    "model type": ({"model_type": "nonesuch"}, "config.json says model_type='nonesuch'"),
}


@pytest.mark.parametrize(("changes", "says"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_models(refused, recipe, models, tmp_path, changes, says):
    folder = without_facts(models.digits, tmp_path / "model", **changes)
    path = recipe(model={"path": str(folder)})
    refused("check", path, says=says)
    refused(*sft(path), says=says)
    refused("inspect", folder, says=says)


def test_a_model_folder_that_is_cut_short(refused, recipe, models, tmp_path):
    folder = without_facts(models.digits, tmp_path / "model", mask_token_id=65)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    refused("check", recipe(model={"path": str(folder)}), says="found no weights; was the download cut short?")
    refused("generate", folder, "--prompt", "1=", says="found no weights; was the download cut short?")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors")
    refused("inspect", folder, says="missing: model.layers.1.mlp.up_proj.weight; is the folder complete?")


def test_lora_names_that_match_nothing(refused, recipe, models):
    path = recipe(model={"path": models.digits, "lora": {"targets": ["q_prj"]}})
    says = "lora.targets names 'q_prj', which is no linear layer of this model; did you mean 'q_proj'?"
    refused("check", path, says=says)
    refused(*sft(path), says=says)


def test_chat_data_without_a_chat_template(refused, recipe, models, rows):
    rows(TALK)
    path = recipe(model={"path": models.digits}, data={"path": "rows.jsonl"})
    says = "rows.jsonl:1: a conversation needs a chat template, found a tokenizer without one; use an instruct model's"
    refused("check", path, says=says + " tokenizer, set model.chat_template in the recipe, or give prompt and")
    refused(*sft(path), says=says)
    refused("preview", "rows.jsonl", "--model", models.digits, says=says)


def test_names_on_the_hub_are_noted_by_check_and_refused_by_the_rest(run, refused, recipe):
    path = recipe(model={"path": "nobody/Nothing-1.5"})
    result = run("check", path)
    assert result.exit_code == 0
    assert "note: model.path: no 'nobody/Nothing-1.5' here; as a name on the hub it is not looked at" in result.stderr
    refused(*sft(path), says="'nobody/Nothing-1.5' is no folder here, and the hub did not give it")
    path = recipe(data={"path": "nobody/nothing"})
    assert "note: data.path: no 'nobody/nothing' here" in run("check", path).stderr
    refused(*sft(path), says="nobody/nothing: expected a file or a hub data set")


def test_a_folder_that_holds_another_run(run, refused, recipe, tmp_path):
    path = recipe()
    assert run(*sft(path)).exit_code == 0
    refused(*sft(path), says="run: holds another run; write --resume to go on with it, or choose another --out")
    refused(*sft(path, "--resume", "--set", "run.lr=0.5"), says="not the run that it holds: lr was 0.001 and is 0.5")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("dear")
    refused("sft", path, "--out", "full", says="full: is not empty and holds no run; choose another --out")
    refused("sft", path, "--out", "none", "--resume", says="none: no run to resume here; leave out --resume")
    refused("convert", tmp_path / "run", "full", says="full: expected a new or empty folder")


def test_folders_that_cannot_be_written(refused, recipe, models, tmp_path):
    (tmp_path / "file").write_text("")
    refused("sft", recipe(), "--out", "file", says="file: expected a folder, found a file; choose another --out")
    refused(
        "sft", recipe(), "--out", "file/run", says="file/run: cannot be made (Not a directory); choose another --out"
    )
    evaluation = ("eval", models.digits, "--task", "sorting", "--problems", "4", "--max-new-tokens", "8")
    refused(*evaluation, "--out", "file/run", says="file/run: cannot be made (Not a directory)")
    refused(*evaluation, "--out", "file", says="file: expected a folder, found a file")
    refused("convert", models.digits, "file/model", says="Not a directory")


OPTIONS = {
    ("--max-new-tokens", "-5"): "--max-new-tokens: expected at least 1, found -5; the default is the model's, or 256",
    ("--block-size", "0"): "--block-size: expected at least 1, found 0",
    ("--block-size", "wide"): "invalid value for '--block-size': ",
    ("--steps", "0"): "--steps: expected at least 1, found 0",
    ("--steps", "7", "--block-size", "8", "--max-new-tokens", "32"): "steps=7: expected a multiple of the 4 blocks of "
    "a canvas of 32; write steps=8",
    ("--temperature", "-1"): "--temperature: expected at least 0, found -1.0",
    ("--blok-size", "8"): ("no such option", "--blok-size", "--block-size"),
    ("--live", "--json"): "--live: expected one --prompt or --infill, --n 1 and no --json; leave one out",
    ("--device", "cuda:99"): "device 'cuda:99': this machine has",
}


@pytest.mark.parametrize(("options", "says"), OPTIONS.items(), ids=map(" ".join, OPTIONS))
def test_options_of_generate(refused, models, options, says):
    refused("generate", models.digits, "--prompt", "12=", *options, says=says)


def test_prompts(refused, models):
    refused("generate", models.digits, says="expected --prompt TEXT, --infill 'a ___ b' or --in FILE, found none")
    refused("generate", models.blocks, "--raw", "--prompt", "", says="empty prompt: a model with shifted logits needs")
    refused("generate", "nope.gguf", "--prompt", "1", says="found no model at 'nope.gguf'")
    refused("generate", "asset:quickstart/modle", "--prompt", "1", says="unknown asset 'quickstart/modle'; ")


def test_options_of_eval(refused, models):
    refused("eval", models.digits, "--task", "sortin", says="--task: unknown task 'sortin'; did you mean 'sorting'?")
    refused("eval", models.digits, "--task", "{name: sorting, longest: many}", says="--task.longest: expected a whole")
    refused("eval", models.digits, "--task", "[", says="--task:1:2: not valid YAML")
    refused("eval", models.digits, "--task", "sorting", "--problems", "0", says="invalid value for '--problems'")
    refused(
        "eval", models.digits, "--task", "sorting", "--split", "dev", says="split: expected 'train' or 'test', found 'd"
    )
    refused("eval", models.digits, "--task", "{name: gsm8k, path: here}", says="here/test.jsonl: expected a data file")
    small = "{name: sorting, shortest: 2, longest: 2}"
    refused("eval", models.digits, "--task", small, says="expected 400 different test problems, found that there are")
    both = ("--full-canvas", "--block-size", "8")
    refused(
        "eval", models.digits, "--task", "sorting", *both, says="leave out --block-size, or leave out --full-canvas"
    )


def test_preview(refused, models, rows):
    rows("not JSON")
    refused(
        "preview", "rows.jsonl", "--model", models.digits, says="rows.jsonl:1: expected one JSON object, found 'not"
    )
    refused("preview", "row.jsonl", "--model", models.digits, says="row.jsonl: expected a data file, found none; check")


def test_unknown_commands(refused):
    refused("tune", says="no such command 'tune'")


@pytest.mark.parametrize("arguments", [("check", "nope.yaml"), ("generate", "./nope", "--prompt", "1"), ("tune",)])
def test_in_a_process_of_its_own(tmp_path, arguments):
    done = subprocess.run(
        [sys.executable, "-m", "unmask.cli.main", *arguments],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
