"""The source distribution builds the wheel, which holds every module and asset and works from a folder of its own."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.wheel, pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--installer", "uv", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_source_distribution_is_small(wheel):
    assert next(wheel.parent.glob("*.tar.gz")).stat().st_size < 3e6


def test_holds_every_source_file(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    tracked = [p.relative_to(ROOT / "src") for p in (ROOT / "src/unmask").rglob("*") if p.is_file()]
    for path in tracked:
        if "__pycache__" not in path.parts:
            assert str(path) in inside
    assert "unmask/py.typed" in inside


def test_imports_from_a_clean_folder(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    modules = sorted(
        ".".join(p.relative_to(tmp_path).with_suffix("").parts).removesuffix(".__init__")
        for p in (tmp_path / "unmask").rglob("*.py")
    )
    code = f"import importlib, sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
    code += "import unmask\nassert unmask.__file__.startswith(sys.path[0]), unmask.__file__\n"
    code += f"for name in {modules!r}: importlib.import_module(name)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
