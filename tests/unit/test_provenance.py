"""Versions of what a number was made with."""

import site
import subprocess
import sys
from pathlib import Path

import unmask
from unmask.runtime.environment import versions


def test_versions():
    found = versions()
    of_others = [name for name in found if name.startswith("plugin ")]  # that tests before this one have imported
    assert list(found)[: len(found) - len(of_others)] == [
        "python",
        "unmask",
        "torch",
        "transformers",
        "accelerate",
        "peft",
        "tokenizers",
    ]
    assert found["unmask"] == unmask.__version__


def test_unmask_need_not_be_installed(tmp_path):
    """A checkout on the path is enough, as on a machine without a network."""
    for place in map(Path, site.getsitepackages()):
        for each in place.iterdir():
            if not each.name.startswith(("unmask", "_unmask", "__editable__")):
                (tmp_path / each.name).symlink_to(each)
    source = str(Path(unmask.__file__).parents[1])
    code = (
        f"import sys; sys.path += [{source!r}, {str(tmp_path)!r}]\n"
        "from importlib import metadata\n"
        "from unmask.runtime.environment import versions\n"
        "assert not list(metadata.distributions(name='unmask'))\n"
        "print(versions()['unmask'])"
    )
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == unmask.__version__, done.stderr
