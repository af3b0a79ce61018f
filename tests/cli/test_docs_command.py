"""unmask docs explains every key of a recipe, and every field of a component."""

import json
import subprocess
import sys


def test_a_key_a_section_and_all(run):
    one = run("docs", "recipe", "run.lr")
    assert one.exit_code == 0
    assert "run.lr  a number above 0" in one.stdout
    assert "peak learning rate" in one.stdout
    assert "default 1.0e-05" in one.stdout
    assert "example run: {lr: 1.0e-05}" in one.stdout
    section = run("docs", "recipe", "data").stdout
    assert "data.held_out" in section
    assert "run.lr" not in section
    assert "run.lr" in run("docs", "recipe").stdout


def test_a_component(run):
    done = run("docs", "objective", "blockwise").stdout
    assert done.startswith("Train the very conditional")
    assert "objective.blockwise.prefix_noise" in done
    assert "blockwise" in run("docs", "objective").stdout
    assert "adablock" in run("docs", "block rule").stdout


def test_topics_and_json(run):
    assert "recipe" in run("docs").stdout
    assert "block rule" in json.loads(run("docs", "--json").stdout)
    keys = json.loads(run("docs", "recipe", "run", "--json").stdout)
    said = {"type": "a number above 0", "default": "1.0e-05", "example": "1.0e-05"}
    assert keys["run.lr"] == {**said, "meaning": "peak learning rate (AdamW)."}


def test_the_schema_with_and_without_a_plugin(run, tmp_path):
    schema = json.loads(run("docs", "recipe", "--schema").stdout)
    assert schema["properties"]["run"]["properties"]["lr"]["exclusiveMinimum"] == 0
    (tmp_path / "mine.py").write_text(
        "from unmask.config import component\nfrom unmask.objectives import OBJECTIVES, Masking\n\n\n"
        "@OBJECTIVES.register('mine')\n@component\nclass Mine(Masking):\n    '''Mine.\n\n    Args:\n"
        "        power: of it.\n    '''\n\n    power: float = 1.0\n"
    )
    command = [sys.executable, "-m", "unmask.cli.main", "--plugin", "mine.py", "docs", "recipe", "--schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["$defs"]["objective.mine"]["properties"]["power"]["description"] == "of it."


def test_the_shipped_reference_needs_no_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from unmask.cli.main import app; "
        "done = CliRunner().invoke(app, ['docs', 'recipe', 'run.lr']); assert done.exit_code == 0, done.output; "
        "sys.exit('torch is loaded' if 'torch' in sys.modules else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_names_are_refused_with_the_nearest(refused):
    refused("docs", "recipe", "run.lrr", says="did you mean 'run.lr'?")
    refused("docs", "recpe", says="did you mean 'recipe'?")
    refused("docs", "objective", "blokwise", says="did you mean 'blockwise'?")
    refused("docs", "objective", "--schema", says="expected 'unmask docs recipe --schema'")
