"""What is installed is written down, comes from the public index alone, and is what the workflows test."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINE = re.compile(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*( ; [a-z_]+ [^;]+)?")


def lines(path):
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda p: p.name)
def test_requirements_are_plain_lines(path):
    assert path.read_text().strip()
    for line in path.read_text().splitlines():
        for refused in ("://", "--", "@"):
            assert refused not in line
        assert not re.search(r"(^|\s)(/|[A-Za-z]:\\)", line), f"an absolute path: {line}"
    for line in lines(path):
        assert LINE.fullmatch(line), line


@pytest.mark.parametrize("refused", [
    "torch @ file.whl", "--index x", "a==1 --hash=x", "http://a", "/tmp/a.whl", "torch==2.13.0+cpu", "a>=1",
])  # fmt: skip
def test_the_pattern_refuses_what_is_not_plain(refused):
    assert not LINE.fullmatch(refused)


def test_no_lock_file_names_where_packages_come_from():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    locks = [name for name in tracked if re.search(r"(^|/)(.*\.lock|.*-lock\.(json|yaml)|npm-shrinkwrap\.json)$", name)]
    for name in locks:
        text = (ROOT / name).read_text()
        assert "resolved" not in text, name
        assert "registry" not in text, name


def test_locked_versions_are_allowed_ones():
    locked = {}
    for line in lines(ROOT / "requirements/locked.txt"):
        name, _, version = line.partition(" ;")[0].partition("==")
        locked.setdefault(canonicalize_name(name), []).append(version.strip())
    wanted = [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]
    for requirement in map(Requirement, wanted):
        if requirement.name != "unmask":
            for version in locked[canonicalize_name(requirement.name)]:
                assert requirement.specifier.contains(version), requirement
    assert not [name for name in locked if name.startswith(("nvidia-", "cuda-")) or name == "triton"]
    assert len(locked["torch"]) == 1, "scripts/setup installs torch first, by its one line"


def test_the_lowest_versions_are_the_bounds_of_the_project():
    done = subprocess.run([sys.executable, ROOT / "scripts/bounds.py"], capture_output=True, text=True, check=True)
    found = dict(line.split("==") for line in done.stdout.split())
    for name in ("torch", "transformers", "peft", "datasets", "accelerate", "tokenizers", "pydantic", "typer", "gguf"):
        assert any(f"{name}>={found[name]}" in line for line in (*PROJECT["dependencies"], *sum(
            PROJECT["optional-dependencies"].values(), [])))  # fmt: skip
    assert "ruff" not in found


def commands(node):
    """Yield the commands of a workflow."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "run" else commands(value)
    elif isinstance(node, list):
        for value in node:
            yield from commands(value)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflows_call_make_targets_that_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    workflow = yaml.safe_load(path.read_text())
    matrices = [job.get("strategy", {}).get("matrix", {}) for job in workflow["jobs"].values()]
    called = list(commands(workflow))
    assert called
    for command in called:
        assert command.startswith("make "), command
        for word in command.split()[1:] if "${{" not in command else sum((m.get("target", []) for m in matrices), []):
            assert word in targets, f"{path.name}: make has no target {word}"


def test_the_workflows_cover_what_is_promised():
    tests = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]["tests"]["strategy"]["matrix"]
    assert tests == {"python": ["3.11", "3.12", "3.13"], "target": ["test-lowest", "test", "test-newest"]}
    assert "make test-newest" in (ROOT / ".github/workflows/nightly.yml").read_text()
    assert "make wheel" in (ROOT / ".github/workflows/check.yml").read_text()


@pytest.mark.parametrize("listed", ["slow", "wide"])
def test_the_lists_of_tests_name_tests(listed):
    for name in (ROOT / f"tests/{listed}.txt").read_text().splitlines()[1:]:
        file, _, test = name.split()[-1].partition("::")
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), name
