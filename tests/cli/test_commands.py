"""Every command does its work on tiny models, and says what it did."""

import importlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from chat_templates import tokenizer_for
from safetensors.torch import load_file

from unmask.models import ScratchSpec, from_scratch, load

TALK = {"messages": [{"role": "user", "content": "What is two"}, {"role": "assistant", "content": "It is four."}]}
COMMANDS = (
    "quickstart",
    "sft",
    "generate",
    "chat",
    "eval",
    "preview",
    "check",
    "inspect",
    "methods",
    "convert",
    "tasks",
)


@pytest.fixture
def done(run):
    """Run a command that must succeed."""

    def done(*arguments, stdin=None):
        result = run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result

    return done


def only_json(result):
    """Stdout is one JSON object, nothing else."""
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def test_help_and_version(done):
    text = done("--help").stdout
    assert all(command in text for command in COMMANDS)
    assert done().stdout == text
    assert done("--version").stdout == "0.1.0\n"


def test_sft_from_scratch_on_a_task(done, recipe, tmp_path):
    path = recipe(data={"task": "sorting", "size": 24, "held_out": 8})
    result = done("sft", path, "--out", "run", "--set", "run.steps=3", "--seed", "5")
    assert "3 steps in" in result.stdout
    assert "held-out loss" in result.stdout
    assert "next: unmask generate run --prompt" in result.stdout
    settings = json.loads((tmp_path / "run/run.json").read_text())["settings"]
    assert (settings["steps"], settings["seed"], settings["lr"]) == (3, 5, 1e-3)
    assert load("run").facts.block_size == 8


def test_sft_json(done, recipe):
    values = only_json(done("sft", recipe(data={"task": "sorting", "size": 24, "held_out": 8}), "--out", "r", "--json"))
    assert values["folder"] == "r"
    assert values["model"] == "r/model"
    assert values["examples"] == 8
    assert {"loss", "held_out_loss", "supervised_tokens", "forward_tokens", "flops", "seconds"} <= values.keys()


def test_sft_with_lora_on_chats_and_resume(done, recipe, models, rows):
    answer = TALK["messages"][1]
    rows(
        *(
            {"messages": [{"role": "user", "content": f"What is {word}"}, answer]}
            for word in ["one", "two", "is", "four", "It", "a"]
        )
    )
    path = recipe(
        model={"path": models.chat, "lora": {"rank": 2}},
        data={"path": "rows.jsonl", "held_out": 2},
        run={"steps": 4, "batch_size": 2, "save_every": 2, "keep": 5},
    )
    done("sft", path, "--out", "whole")
    assert load("whole").adapter.source == models.chat
    done("sft", path, "--out", "twice")
    for folder in ("twice/checkpoints/checkpoint-4", "twice/model"):  # as if it had been killed after step 3
        shutil.rmtree(folder)
    values = only_json(done("sft", path, "--out", "twice", "--resume", "--json"))
    assert values["examples"] == 8
    whole, twice = (load_file(f"{name}/model/adapter_model.safetensors") for name in ("whole", "twice"))
    assert all(whole[name].equal(twice[name]) for name in whole)
    assert done("generate", "twice", "--prompt", "What", "--max-new-tokens", "8").stdout


def test_generate(done, models):
    prompts = ("--prompt", "12=", "--prompt", "123456=", "--prompt", "1=")
    result = done("generate", models.digits, *prompts, "--max-new-tokens", "8", "--block-size", "4")
    empty = [text for text in result.stdout.splitlines() if not text.strip()]
    assert ("answers are empty: it is white space only" in result.stderr) == bool(empty)
    assert result.stderr.count("\n") <= 1
    values = only_json(
        done("generate", models.digits, *prompts, "--max-new-tokens", "8", "--block-size", "4", "--json")
    )
    assert result.stdout == "".join(f"{text}\n" for text in values["texts"])
    assert values["forwards"] == 8
    assert values["tokens_per_forward"] == 1.0
    assert values["tokens"] == [8, 8, 8]


def test_generate_with_a_threshold_is_quicker(done, models):
    fast = ("--threshold", "0", "--max-new-tokens", "8", "--block-size", "4", "--json")
    assert only_json(done("generate", models.digits, "--prompt", "12=", *fast))["forwards"] == 2


def test_generate_reads_standard_input(done, models):
    options = ("--max-new-tokens", "4", "--raw")
    typed = done("generate", models.chat, "--prompt", "What\nis", *options).stdout
    assert done("generate", models.chat, "--prompt", "-", *options, stdin="What\nis\n").stdout == typed


def test_generate_live_draws_on_stderr_and_answers_on_stdout(done, models):
    options = ("--prompt", "12=", "--max-new-tokens", "6")
    live = done("generate", models.digits, *options, "--live")
    assert live.stdout == done("generate", models.digits, *options).stdout
    assert "forward 6 · 6 tokens · 1.00 tokens per forward" in live.stderr
    assert "12=" in live.stderr


def test_blocks_larger_than_trained_are_warned_of(done, models):
    options = ("--prompt", "What", "--max-new-tokens", "16")
    warning = "warning: block size 16 is larger than the 8 that the model was trained with; expect worse answers, or "
    assert warning in done("generate", models.blocks, *options, "--block-size", "16").stderr
    assert done("generate", models.blocks, *options, "--block-size", "16").stderr.count("warning") == 1
    for fine in ((), ("--block-size", "8"), ("--block-size", "4")):
        assert "warning" not in done("generate", models.blocks, *options, *fine).stderr
    sort = ("--task", "sorting", "--problems", "2", "--max-new-tokens", "16")
    assert warning in done("eval", models.blocks, *sort, "--block-size", "16").stderr
    assert "warning" not in done("eval", models.blocks, *sort, "--full-canvas").stderr
    assert warning in done("chat", models.blocks, "--block-size", "16", "--max-new-tokens", "16", stdin="").stderr


def test_chat_remembers_what_was_said(done, models, monkeypatch):
    module = importlib.import_module("unmask.generate")  # the package's attribute of that name is the function
    seen, stream = [], module.stream
    monkeypatch.setattr(module, "stream", lambda lm, prompt, **o: seen.append(list(prompt)) or stream(lm, prompt, **o))
    options = ("--max-new-tokens", "6", "--block-size", "6", "--system", "Be brief")
    result = done("chat", models.chat, *options, stdin="What is two\n\n  \nAnd three\n/bye\nnever read\n")
    first, _ = result.stdout.splitlines()
    assert [m["role"] for m in seen[1]] == ["system", "user", "assistant", "user"]
    assert [m["content"] for m in seen[1]] == ["Be brief", "What is two", first, "And three"]
    assert len(seen) == 2
    assert "forward" in result.stderr


def test_chat_without_a_template_and_to_the_end_of_the_input(done, models):
    result = done("chat", models.digits, "--max-new-tokens", "4", stdin="12=\n34=")
    assert result.stderr.count("forward 4") == 2
    assert "note: the tokenizer has no chat template: every line is a prompt of its own" in result.stderr


def test_eval(done, models, tmp_path):
    sort = ("eval", models.digits, "--task", "sorting", "--problems", "5", "--max-new-tokens", "8", "--batch-size", "2")
    text = done(*sort).stdout
    assert "0.00% (95 % interval 0.00% to 43.45%)" in text
    assert "sorting, test, 5 problems" in text
    blocks = only_json(done(*sort, "--json", "--out", "deep", "--block-size", "4"))
    assert (blocks["accuracy"], blocks["problems"], blocks["forwards"]) == (0.0, 5, 40)
    answers = [json.loads(line) for line in (tmp_path / "deep/answers.jsonl").read_text().splitlines()]
    assert len(answers) == 5
    assert {"place", "prompt", "text", "expected", "is_right", "run"} <= set(answers[0])
    whole = only_json(done(*sort, "--json", "--full-canvas", "--steps", "2"))
    assert whole["forwards"] == 10
    assert whole["tokens_per_forward"] == 4.0


def test_eval_gsm8k_from_files(done, models, tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "two and two", "answer": "2+2=4\n#### 4"}) + "\n")
    task = "{name: gsm8k, path: .}"
    values = only_json(done("eval", models.chat, "--task", task, "--max-new-tokens", "8", "--json"))
    assert (values["task"], values["problems"]) == ("gsm8k", 1)


def test_preview(done, models, rows):
    rows(TALK, "not JSON")
    result = done("preview", "rows.jsonl", "--model", models.chat, "--block-size", "8")
    assert "Legend:" in result.stdout
    assert "It is four." in result.stdout.replace("\n|1| ", "")
    assert "note: 2 rows, 1 examples; left out: rows.jsonl:2" in result.stderr
    (shown,) = only_json(done("preview", "rows.jsonl", "--model", models.chat, "--json"))["examples"]
    assert [s["kind"] for s in shown["segments"]] == ["prompt", "response", "end", "filler"]


def test_check(done, recipe, models):
    result = done("check", recipe())
    assert result.stdout.endswith("recipe.yaml: no problems found\n")
    assert all(line.startswith("note: the answer is empty") for line in result.stderr.splitlines())
    path = recipe(model={"path": models.chat, "lora": {"targets": ["q_proj"]}})
    assert only_json(done("check", path, "--json"))["problems"] == []


def test_inspect(done, models):
    facts = only_json(done("inspect", models.blocks, "--json"))
    assert (facts["shift"], facts["block_size"], facts["mask"]["token"]) == (True, 8, "<mask>")
    lines = [line.split(maxsplit=2) for line in done("inspect", models.blocks).stdout.splitlines()]
    assert ["block", "size", "8"] in lines
    assert ["mask", "<mask>", f"({facts['mask']['id']})"] in lines


def test_methods(done):
    listing = only_json(done("methods", "--json"))
    assert {"objective", "curriculum", "selection", "block rule", "task"} <= listing.keys()
    assert "block_size" in listing["objective"]["blockwise"]["fields"]
    text = done("methods").stdout
    assert all(name in text for names in listing.values() for name in names)


def test_convert_then_inspect(done, tmp_path):
    spec = ScratchSpec(hidden_size=32, layers=2, heads=2, architecture="qwen2")
    from_scratch(spec, tokenizer_for("chatml")).save(tmp_path / "before")
    config = tmp_path / "before/config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps({key: value for key, value in values.items() if key not in ("unmask", "is_causal")}))
    facts = only_json(done("convert", "before", "after", "--json"))
    assert facts["folder"] == "after"
    assert facts["shift"] is True
    again = only_json(done("inspect", "after", "--json"))
    same = ("mask", "eos", "filler", "shift", "attention", "parameters")
    assert {name: again[name] for name in same} == {name: facts[name] for name in same}


def test_json_stays_alone_on_stdout_in_a_process_of_its_own(models, tmp_path):
    """Bars and warnings of libraries go elsewhere."""
    result = subprocess.run(
        [sys.executable, "-m", "unmask.cli.main", "generate", models.digits, "--prompt", "1=", "--max-new-tokens", "4",
         "--json"],
        capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert list(json.loads(result.stdout)) == ["texts", "forwards", "tokens_per_forward", "tokens"]
    assert all(line.startswith("note: the answer is empty") for line in result.stderr.splitlines())
