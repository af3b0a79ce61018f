"""unmask init writes a recipe that a person can read and unmask check has nothing against."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from unmask.models import load
from unmask.models.gguf_write import write_gguf
from unmask.recipes.recipe import build, read_recipe

PAIRS = [{"prompt": f"{n}=", "completion": f"{n}"[::-1]} for n in range(1000, 1040)]
CHATS = [
    {
        "messages": [
            {"role": "user", "content": f"Wie geht es {n}? " * (n % 3 + 1)},
            {"role": "assistant", "content": "Gut."},
        ]
    }
    for n in range(40)
]


@pytest.fixture(scope="session")
def causal(models, tmp_path_factory):
    """A model that writes from left to right: the same files without the facts of a diffusion model."""
    folder = tmp_path_factory.mktemp("causal") / "model"
    shutil.copytree(models.chat, folder)
    config = json.loads((folder / "config.json").read_text())
    for name in ("unmask", "mask_token_id", "is_causal"):
        config.pop(name, None)
    (folder / "config.json").write_text(json.dumps(config))
    Path(folder / "manifest.json").unlink(missing_ok=True)
    return str(folder)


def drafted(run, *arguments):
    """Return the text of a recipe that init writes, after check found nothing wrong with it."""
    done = run("init", *arguments, "--out", "made.yaml")
    assert done.exit_code == 0, done.stderr
    checked = run("check", "made.yaml")
    assert checked.exit_code == 0, checked.stderr
    return Path("made.yaml").read_text(encoding="utf-8")


def test_a_model_that_ships_and_pairs(run, rows):
    text = drafted(run, "asset:quickstart/model", rows(*PAIRS).name)
    values = yaml.safe_load(text)
    assert list(values) == ["model", "data", "objective", "decoder", "run"]
    assert values["data"]["max_length"] == 64
    assert values["data"]["held_out"] == 2
    assert [member["name"] for member in values["objective"]["members"]] == ["lift", "blockwise"]
    assert "lora" not in values["model"]
    assert text.startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert 25 <= len(text.splitlines()) <= 50
    assert max(map(len, text.splitlines())) <= 120
    assert "339 thousand weights" in text
    assert "# peak learning rate (AdamW)" in text  # from the docstring of TrainRun


def test_every_key_has_a_comment(run, rows):
    lines = drafted(run, "asset:quickstart/model", rows(*PAIRS)).splitlines()
    for before, line in zip(lines, lines[1:], strict=False):
        is_key = re.match(r" +(- \{name: )?\w+:? ", line) and not line.lstrip().startswith("#")
        assert not is_key or "  # " in line or before.lstrip().startswith("# "), line


def test_chats_and_the_block_size_of_the_model(run, rows, models):
    values = yaml.safe_load(drafted(run, models.blocks, rows(*CHATS)))
    assert values["decoder"]["block_size"] == 8
    assert values["objective"]["members"][1] == {"name": "blockwise", "block_size": 8}


def test_a_model_that_writes_from_left_to_right_is_converted(run, rows, causal):
    text = drafted(run, causal, rows(*CHATS))
    assert yaml.safe_load(text)["objective"] == {"name": "vanilla"}
    assert "writes from left to right" in text


def test_a_gguf_file_is_read_without_its_weights(run, rows, models, tmp_path):
    file = write_gguf(load(models.chat), tmp_path / "m.gguf", family="llada", dtype="f32")
    text = drafted(run, file, rows(*CHATS))
    assert "llada (gguf)" in text
    assert yaml.safe_load(text)["data"]["max_length"] < 1024  # the tokenizer of the file has counted


def test_a_name_on_the_hub_is_not_looked_at_and_gets_adapters(run, rows):
    done = run("init", "GSAI-ML/LLaDA-8B-Instruct", rows(*CHATS))
    assert done.exit_code == 0
    assert "is not looked at" in done.stderr
    assert build(read_recipe("recipe.yaml")).model.lora.rank == 64
    assert run("check", "recipe.yaml").exit_code == 0


def test_rows_that_cannot_be_used_or_do_not_fit_are_named(run, rows):
    bad = [{"prompt": "1=", "completion": ""}, {"prompt": "2=", "completion": "3" * 2000}]
    done = run("init", "asset:quickstart/model", rows(*PAIRS, *bad))
    assert "rows.jsonl:41: expected a response" in done.stderr
    assert "1 of 41 examples are longer than 1,024 tokens" in done.stderr
    data = read_recipe("recipe.yaml")["data"]
    assert (data["on_bad"], data["too_long"], data["max_length"]) == ("skip", "skip", 1024)
    assert run("check", "recipe.yaml").exit_code == 0


def test_an_objective_and_settings_of_ones_own(run, rows):
    file = rows(*({"q": f"{n}=", "a": f"{n}"} for n in range(30)))
    columns = "data.columns={prompt: q, completion: a}"
    text = drafted(
        run, "asset:quickstart/model", file, "--objective", "{name: blockwise, block_size: 7}", "--set", columns,
        "--set", "run.seed=3",
    )  # fmt: skip
    values = yaml.safe_load(text)
    assert values["objective"] == {"name": "blockwise", "block_size": 7}
    assert values["decoder"]["block_size"] == 7
    assert values["data"]["columns"] == {"prompt": "q", "completion": "a"}
    assert values["run"]["seed"] == 3
    assert "--objective" in text.splitlines()[1]


def test_the_commented_section_works_once_its_marks_are_gone(run, rows):
    text = drafted(run, "asset:quickstart/model", rows(*PAIRS))
    head, section = text.rsplit("# evaluate:", 1)
    whole = head + "evaluate:" + section.replace("\n# ", "\n")
    assert build(yaml.safe_load(whole)).evaluate.task.name == "questions"


def test_what_follows_is_said_and_works(run, rows):
    done = run("init", "asset:quickstart/model", rows(*PAIRS), "--set", "run.epochs=1")
    following = re.findall(r"^next: unmask (.*?)  ", done.stdout, re.MULTILINE)
    assert [command.split()[0] for command in following] == ["check", "preview", "sft"]
    for command in following:
        assert run(*command.split()).exit_code == 0, command


def test_json(run, rows):
    done = run("init", "asset:quickstart/model", rows(*PAIRS), "--json")
    assert json.loads(done.stdout)["values"] == read_recipe("recipe.yaml")


def test_nothing_is_written_over_unless_asked(run, rows, refused, tmp_path):
    file = rows(*PAIRS)
    (tmp_path / "recipe.yaml").write_text("mine")
    refused("init", "asset:quickstart/model", file, says="--out recipe.yaml: expected a new file")
    assert (tmp_path / "recipe.yaml").read_text() == "mine"
    assert run("init", "asset:quickstart/model", file, "--force").exit_code == 0
    (tmp_path / "recipe.schema.json").write_text("{}")
    refused("init", "asset:quickstart/model", file, "--out", "b.yaml", says="expected a schema that unmask wrote")


@pytest.mark.parametrize(
    ("model", "data", "says"),
    [
        ("asset:quickstart/model", "empty.jsonl", "empty.jsonl: expected rows, found an empty file"),
        ("asset:quickstart/model", "none.jsonl", "none.jsonl: expected a data file, found none"),
        ("./nowhere", "pairs.jsonl", "found no model at './nowhere'"),
        ("asset:quickstart/model", "odd.jsonl", "with init: --set 'data.columns={prompt: …, completion: …}'"),
        ("asset:quickstart/model", "chats.jsonl", "a conversation needs a chat template"),
    ],
)
def test_odd_input_is_refused_in_one_line_and_nothing_is_written(model, data, says, rows, refused, tmp_path):
    rows(*PAIRS, name="pairs.jsonl")
    rows(*CHATS, name="chats.jsonl")
    rows({"q": "a", "a": "b"}, name="odd.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    refused("init", model, data, says=says)
    assert not (tmp_path / "recipe.yaml").exists()


def test_unknown_objectives_are_refused(rows, refused):
    refused("init", "asset:quickstart/model", rows(*PAIRS), "--objective", "blokwise", says="did you mean 'blockwise'?")
