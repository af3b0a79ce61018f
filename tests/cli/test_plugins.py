"""Components from outside: the example package, installed, and what is said of plugins that are broken."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file

from unmask.models import ScratchSpec, from_scratch

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples/unmask-example"
COMMANDS = """
import json, sys
from unmask.cli.main import app
for line in sys.stdin:
    try:
        app(json.loads(line))
    except SystemExit as leaving:
        print("code", leaving.code)
"""
MINE = """
from unmask.config import component
from unmask.decoding import SELECTIONS
from unmask.decoding.defaults import Quota

@SELECTIONS.register("{name}")
@component
class Mine(Quota):
    "As quota."
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of installed packages with the example's: its modules, and its entry points as pip writes them."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    shutil.copytree(PACKAGE / "src", site, dirs_exist_ok=True)
    about = site / f"unmask_example-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{n} = {m}" for n, m in points.items()))]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return site


def outside(*commands, site=None, **variables):
    """Run commands in one process of its own, as they are typed; returns their exit codes, and what it printed."""
    path = os.pathsep.join(map(str, filter(None, (site, ROOT / "src"))))
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], input="\n".join(json.dumps([str(a) for a in args]) for args in commands),
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [int(code) for code in re.findall(r"^code (\d+)$", done.stdout, re.MULTILINE)], done


def tower(folder):
    """A checkpoint of the example's family: a Llama under other names."""
    shape = ScratchSpec(hidden_size=32, layers=2, heads=2)
    from_scratch(shape).save(folder)
    names = {
        "model.embed_tokens.weight": "embed.weight",
        "model.norm.weight": "norm.weight",
        "lm_head.weight": "head.weight",
    }
    weights = load_file(folder / "model.safetensors")
    weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"].clone())
    save_file(
        {names.get(name, name.removeprefix("model.")): weights[name] for name in weights}, folder / "model.safetensors"
    )
    config = json.loads((folder / "config.json").read_text())
    theirs = {"vocabulary": "vocab_size", "width": "hidden_size", "inner_width": "intermediate_size",
              "depth": "num_hidden_layers", "heads": "num_attention_heads"}  # fmt: skip
    kept = {name: config.get(name) for name in ("mask_token_id", "eos_token_id", "pad_token_id")}
    mine = {"model_type": "tower", **{name: config[stock] for name, stock in theirs.items()}, **kept}
    (folder / "config.json").write_text(json.dumps(mine))
    return folder


def test_an_installed_package_brings_an_objective_a_selection_a_task_and_a_family(site, recipe):
    path = recipe(
        data={"task": {"name": "backwards", "length": 4}, "size": 24},
        objective={"name": "fixed_rate", "rate": 0.7},
        decoder={"selection": {"name": "leftmost", "count": 2}},
        evaluate={"task": {"name": "backwards", "length": 4}, "problems": 4, "max_new_tokens": 8},
    )
    codes, done = outside(
        ["methods", "--json"],
        ["check", path],
        ["sft", path, "--out", "run"],
        ["eval", "run", "--recipe", path, "--out", "judged"],
        [
            "generate",
            "run",
            "--prompt",
            "1234=",
            "--selection",
            "leftmost",
            "--block-size",
            "8",
            "--max-new-tokens",
            "8",
        ],
        ["generate", tower(Path("tower")), "--prompt", "1234=", "--max-new-tokens", "8"],
        site=site,
    )
    assert codes == [0] * 6, done.stdout + done.stderr
    listing = json.loads(done.stdout.splitlines()[0])
    for kind, name in (
        ("objective", "fixed_rate"),
        ("selection", "leftmost"),
        ("task", "backwards"),
        ("family", "tower"),
    ):
        assert listing[kind][name]["module"].startswith("unmask_example.")
    assert listing["objective"]["fixed_rate"]["source"] == "unpublished"
    record = json.loads(Path("run/run.json").read_text())
    assert record["settings"]["objective"] == {"name": "fixed_rate", "rate": 0.7}
    assert record["versions"]["unmask-example"] == "0.1.0"
    judged = json.loads(Path("judged/run.json").read_text())
    assert judged["settings"]["task"]["name"] == "backwards"


@pytest.mark.parametrize("name", ["objective", "selection", "task", "family"])
def test_the_page_on_extending_shows_the_example_as_it_is(name):
    page = (ROOT / "docs/extending.md").read_text()
    assert f"```python\n{(PACKAGE / f'src/unmask_example/{name}.py').read_text()}```" in page


CHECKED = """
from unmask.testing import check_component, check_objective, check_selection, check_task
from unmask_example.objective import FixedRate
from unmask_example.selection import Leftmost
from unmask_example.task import Backwards
import math
check_objective(FixedRate(), uniform_loss=math.log(11))
check_selection(Leftmost(count=2))
check_component(Leftmost())
check_task(Backwards())
"""


def test_the_example_keeps_what_is_promised(site):
    path = os.pathsep.join([str(site), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHECKED]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_run_was_made_with_is_imported_by_its_resume(recipe):
    """A module is; a file is run only if the person names it again, in the recipe or beside the command."""
    Path("mine.py").write_text(MINE.format(name="mine"))
    Path("other.py").write_text(MINE.format(name="other"))
    run = {"steps": 2, "batch_size": 4, "schedule": "constant"}
    named = recipe("named.yaml", plugins="mine.py", decoder={"selection": "mine"}, run=run)
    unnamed = recipe("unnamed.yaml", decoder={"selection": "mine"}, run=run)
    module = recipe("module.yaml", decoder={"selection": "other"}, run=run)
    file, here = str(Path("mine.py").resolve()), Path.cwd()
    codes, done = outside(
        ["check", named],
        ["sft", named, "--out", "one"],
        ["--plugin", "other", "sft", module, "--out", "two"],
        site=here,
    )
    assert codes == [0] * 3, done.stderr
    record = json.loads(Path("one/run.json").read_text())
    assert record["plugins"] == record["recipe"]["plugins"] == [file]
    assert len(record["versions"]["plugin mine.py"]) == 16
    longer = ("--set", "run.steps=3", "--resume")
    codes, done = outside(*(["sft", r, "--out", out, *longer] for r, out in (
        (unnamed, "one"), (named, "one"), (module, "two")
    )), site=here)  # fmt: skip
    assert codes == [2, 0, 0], done.stderr
    assert f"one/run.json: was made with the plugin {file}, which is not run unasked" in done.stderr


def test_a_study_and_its_workers_import_plugins(recipe):
    Path("mine.py").write_text(MINE.format(name="mine"))
    study = {
        "question": "Does it run?", "plugins": ["mine.py"],
        "base": {"recipe": {"model": {"from_scratch": {"hidden_size": 32, "layers": 1, "heads": 2}},
                            "data": {"task": "sorting", "size": 8}, "run": {"steps": 1, "batch_size": 2}}},
        "recipe": {"data": {"task": "sorting", "size": 8}, "run": {"steps": 1, "batch_size": 2}},
        "arms": {"vanilla": {}}, "seeds": [0], "keep": "none",
        "evaluate": {"task": "sorting", "problems": 2, "validation": 1, "max_new_tokens": 8,
                     "decoders": {"mine": {"selection": "mine"}}},
    }  # fmt: skip
    Path("study.yaml").write_text(yaml.safe_dump(study))
    codes, done = outside(["study", "study.yaml", "--out", "done", "--jobs", "1"])
    assert codes == [0], done.stderr
    codes, done = outside(["study", "--repeat", "done", "--out", "again"])  # whose file it is, nobody has said
    assert codes == [2]
    assert "which is not run unasked" in done.stderr


BROKEN = {
    "absent": (
        None,
        "plugin 'absent': no module 'absent'; install the package that has it, or write the path of a file",
    ),
    "./absent.py": (None, "absent.py': no such file; write the path of a Python file"),
    "needy.py": ("import nowhere", "needs the module 'nowhere', which is not installed; install it"),
    "wrong.py": ("1 / 0", "importing it failed: ZeroDivisionError: division by zero; mend or uninstall it"),
    "unwritten.py": ("def", "importing it failed: SyntaxError"),
    "taken.py": (
        MINE.format(name="quota"),
        "the selection 'quota' is there already, from unmask.decoding.defaults; register unmask_plugin_taken_",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_one_line(name, refused, recipe):
    text, says = BROKEN[name]
    if text:
        Path(name).write_text(text)
    refused("--plugin", name, "check", recipe(), says=says)
    refused("check", recipe(plugins=[name]), says=says)


def test_what_is_no_list_of_plugins_is_refused(refused, recipe):
    refused(
        "check", recipe(plugins={"a": 1}), says="plugins: expected names of modules, found {'a': 1}; write [my_module]"
    )


def test_child_processes_are_told_by_the_environment():
    Path("mine.py").write_text(MINE.format(name="mine"))
    both = os.pathsep.join(["mine.py", "absent"])
    codes, done = outside(["methods", "--json"], UNMASK_PLUGINS="mine.py")
    assert codes == [0], done.stderr
    assert "mine" in json.loads(done.stdout.splitlines()[0])["selection"]
    codes, done = outside(["methods"], UNMASK_PLUGINS=both)
    assert codes == [2]
    assert done.stderr.startswith("error: plugin 'absent': no module 'absent'")


def test_a_broken_installed_plugin_is_one_line(site, tmp_path):
    broken = shutil.copytree(site, tmp_path / "broken")
    (broken / "unmask_example/task.py").write_text("from unmask.tasks import nothing\n")
    codes, done = outside(["methods"], site=broken)
    assert codes == [2]
    assert done.stderr.startswith(
        "error: plugin 'task' of the package unmask-example: importing it failed: ImportError"
    )
    assert done.stderr.count("\n") == 1


def test_methods_answers_without_torch():
    code = "import sys; from unmask.cli.main import app; app(['methods'], standalone_mode=False)"
    code = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.endswith("False\n")
    assert "blockwise" in done.stdout
