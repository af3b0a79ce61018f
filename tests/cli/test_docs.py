"""Every command and every Python example in the README and the docs runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from unmask.cli.main import app
from unmask.config.yaml import assign

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]

EXAMPLE = ROOT / "examples/unmask-example/src"
SHARE = r"\d+\.\d\d% \(95 % interval \d+\.\d\d% to \d+\.\d\d%\)"
PRINTS = {  # what the output of a command must hold, whatever its options
    "analyze": r"(?s)Gold confidence.* bin +tokens .*t=1\b.*\d\.\d{3}",
    "check": r"^my-recipe\.yaml: no problems found$",
    "compare": r"(?s)^question +What does .* change in its base.*^runs +3 and 0 to choose rates",
    "convert": r"(?s)^source +\S.*^folder +converted$",
    "docs": r"^run\.lr +a number above 0|^objective\.blockwise\.block_size +a whole number at least 1",
    "eval": rf"(?s)^task +\w+, test, [1-9]\d* problems\n(?:accuracy|avg@\d+) +{SHARE}\n.*^forwards +[1-9]",
    "export": r"^folder +\S+\nlayout +\w+$",
    "generate": r"^[0-9|=]{4,}$|^answers +[1-9]\d*$",
    "init": r"(?s)^recipe\.yaml: written.*^next: unmask sft recipe\.yaml",
    "inspect": r"(?s)^parameters +[1-9].*^mask +.*65.*^eos +.*64",
    "likelihood": r"^any order +\d\.\d{4} ± \d\.\d{4}.*\nblocks of 7 +\d\.\d{4}",
    "plot": r"^\S+\.(?:png|svg|gif|html)$",
    "preview": r"(?s)\[prompt\].*\d+=.*\|0\|.*\{end: <\|endoftext\|>\}",
    "sft": r"(?s)^2 steps in .*^loss +\d+\.\d{4} to \d+\.\d{4}.*^its weights +of the last step, 2\nnext: unmask gen",
    "study": r"(?s)blockwise-vs-vanilla +Does training|^runs +\d+ and \d+ to choose rates",
    "tasks": r"^questions, test: (\d+) of \1 references are right$",
}


def fenced(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def commands(page):
    lines = "\n".join(fenced(page, "sh")).replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in PAGES:
        for command in commands(page):
            if command.startswith("make"):
                assert set(command.split()[1:]) <= targets, f"{page.name}: {command}"


def test_every_command_is_one_we_run():
    for page in PAGES:
        for command in commands(page):
            assert command.split()[0] in ("make", "unmask"), f"{page.name}: {command}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in which the README's file names exist, tiny."""
    rows = [f'{{"prompt": "{d}{d + 1}=", "completion": "{d}{d + 1}"}}' for d in range(6)]
    (tmp_path / "chats.jsonl").write_text("\n".join(rows))
    questions = '{"question": "01=", "answer": "01"}\n{"question": "12=", "answer": ["12", "1 2"]}\n'
    (tmp_path / "questions.jsonl").write_text(questions)
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k/test.jsonl").write_text('{"question": "what is 1+1?", "answer": "1+1=2\\n#### 2"}\n' * 2)
    recipe = {
        "model": {"path": "asset:quickstart/model"},
        "data": {"path": "chats.jsonl"},
        "objective": {"name": "blockwise", "block_size": 7},
        "run": {"steps": 2, "batch_size": 2},
    }
    (tmp_path / "my-recipe.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_run(page, folder):
    for command in commands(page):
        if not command.startswith("unmask"):
            continue
        words = ["asset:quickstart/model" if word == "MODEL" else word for word in shlex.split(command)[1:]]
        if words[0] == "quickstart":
            continue  # the quick start has a test of its own
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert result.exit_code == 0, f"{command}: {result.output}{result.stderr}"
        assert re.search(PRINTS[words[0]], result.stdout, re.MULTILINE), f"{command}: prints\n{result.stdout}"
        assert "error" not in result.stderr.lower(), f"{command}: {result.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_examples_run(page, folder):
    for code in fenced(page, "python"):
        if ".register(" in code or "unmask_example" in code:  # in a process of its own: what is registered stays
            variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLE), *sys.path])}
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=variables
            )
            assert done.returncode == 0, done.stderr
        else:
            exec(compile(code, page.name, "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_recipes_in_the_docs_are_valid(page):
    from unmask.recipes.recipe import build

    for text in fenced(page, "yaml"):
        values = {"model": {"path": "owner/name"}, **yaml.safe_load(text)}
        if "path" not in values["model"] and "from_scratch" not in values["model"]:
            values["model"]["path"] = "owner/name"
        if "sources" not in values.get("data", {}):
            assign(values, "data.path=null")
            assign(values, "data.task=sorting")
        build(values)


def test_links_and_pictures_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_forms_and_workflows_are_yaml():
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"]
    for path in files:
        assert yaml.safe_load(path.read_text()), path
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] in (ROOT / "pyproject.toml").read_text()
