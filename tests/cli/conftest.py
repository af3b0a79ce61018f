"""Tiny models on disk, made once, and a runner that keeps stdout and stderr apart."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from unmask.cli.main import app
from unmask.models import ScratchSpec, from_scratch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "data"))
from chat_templates import tokenizer_for  # noqa: E402  # a neighbour's helpers

SHAPE = ScratchSpec(hidden_size=32, layers=2, heads=2)
RECIPE = {
    "model": {"from_scratch": {"hidden_size": 32, "layers": 2, "heads": 2}},
    "data": {"task": "sorting", "size": 24},
    "objective": {"name": "blockwise", "block_size": 8},
    "run": {"steps": 2, "batch_size": 4, "lr": 1e-3},
}


@dataclass(frozen=True)
class Models:
    """Folders of models: of characters, of chats, of chats with shifted logits and blocks of 8."""

    digits: str
    chat: str
    blocks: str


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    from_scratch(SHAPE).save(root / "digits")
    from_scratch(SHAPE, tokenizer_for("chatml")).save(root / "chat")
    from_scratch(SHAPE, tokenizer_for("chatml"), shift=True, block_size=8).save(root / "blocks")
    return Models(*(str(root / name) for name in ("digits", "chat", "blocks")))


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="session")
def run():
    """Run a command in this process; what is not a user's mistake fails the test with its traceback."""

    def run(*arguments, stdin=None):
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe: sections replace or, where both are mappings, extend the usual ones; None drops one."""

    def write(name="recipe.yaml", **sections):
        values = {**RECIPE, **sections}
        path = tmp_path / name
        path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))
        return path

    return write


@pytest.fixture
def rows(tmp_path):
    """Write a JSON Lines file of objects, or of lines as they are."""

    def write(*lines, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
        return path

    return write


@pytest.fixture
def refused(run):
    """Run a command that must be refused, with one line for each of the texts, which it must contain."""

    def refused(*arguments, says, problems=1, stdin=None):
        result = run(*arguments, stdin=stdin)
        lines = [line for line in result.stderr.splitlines() if not line.startswith(("note: ", "warning: "))]
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert len(lines) == problems, result.stderr
        assert all(line.startswith("error: ") for line in lines), result.stderr
        for text in (says,) if isinstance(says, str) else says:
            assert text in result.stderr
        return lines

    return refused
