"""The first stage on a GPU, rehearsed on the CPU, and the bundle that it carries."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

GPU = Path(__file__).parents[2] / "benchmarks/gpu"
CHECKS = [
    "draws", "logits", "experts", "masks", "sampling", "caches", "loss", "recomputing", "resume", "training", "waits",
    "speed", "pace",
]  # fmt: skip
LINUX = {
    "python_version": "3.12", "python_full_version": "3.12.3", "sys_platform": "linux", "platform_system": "Linux",
    "platform_machine": "x86_64", "os_name": "posix", "implementation_name": "cpython", "extra": "",
}  # fmt: skip


def stage(*arguments, python=sys.executable):
    command = [python, str(GPU / "run"), "--device", "cpu", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def bundle():
    spec = importlib.util.spec_from_file_location("gpu_bundle", GPU / "bundle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rehearsal_finds_nothing(tmp_path):
    done = stage("--own", "--out", tmp_path / "found.json", "--seconds", 600)
    report = json.loads((tmp_path / "found.json").read_text())
    assert [each for each in report["checks"] if each["ok"] is False] == []
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert report["ok"]
    assert report["not_run"] == []
    assert list(dict.fromkeys(each["check"] for each in report["checks"])) == CHECKS
    assert all(each["because"] and each["seconds"] >= 0 for each in report["checks"])
    assert report["device"]["kind"] == "cpu"
    assert {"python", "unmask", "torch", "transformers"} <= report["versions"].keys()
    # An approximate cache that leads nowhere would measure nothing.
    drifts = [each["measured"]["logits"] for each in report["checks"] if "drift" in each["name"]]
    assert min(drifts) > 1e-3
    assert len(set(drifts)) > 2


def test_what_is_late_is_cut_and_named(tmp_path):
    done = stage("--own", "--out", tmp_path / "found.json", "--seconds", 0.5, "--only", "draws", "waits")
    assert done.returncode == 1
    assert "NOT RUN: draws, waits" in done.stdout
    report = json.loads((tmp_path / "found.json").read_text())
    assert not report["ok"]
    assert report["not_run"] == ["draws", "waits"]


def test_a_check_that_fails_or_breaks_is_told_and_the_next_one_is_run(tmp_path):
    (tmp_path / "made_up.py").write_text(
        """
from findings import told, within

def wrong(setting):
    yield within("a number", float("nan"), 1.0, "made up")

def broken(setting):
    yield told("seen", 1, "before it broke")
    raise ValueError("no such thing")

def last(setting):
    yield told("reached", 1, "in the end")
"""
    )
    script = f"""
import sys
sys.path[:0] = [{str(GPU)!r}, {str(tmp_path)!r}]
import stage
stage.CHECKS.clear()
stage.CHECKS.update(dict.fromkeys(["wrong", "broken", "last"], "made_up"))
sys.argv = ["stage", "--device", "cpu", "--out", {str(tmp_path / "found.json")!r}]
sys.exit(stage.main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr[-1000:]
    found = json.loads((tmp_path / "found.json").read_text())["checks"]
    assert [(each["check"], each["ok"]) for each in found] == [
        ("wrong", False), ("broken", None), ("broken", False), ("last", None),
    ]  # fmt: skip
    assert found[0]["measured"] == "nan"
    assert found[2]["measured"] == "ValueError: no such thing"


def test_one_line_for_what_cannot_begin():
    done = stage("--own", "--only", "logit")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --only: expected names among draws, logits, experts, masks,")


def test_the_bundle_lacks_nothing_that_its_wheels_need(bundle):
    names = [bundle.plain(name) for name in bundle.wanted()]
    assert names == sorted(set(names))
    here = {*names, *bundle.MACHINE}
    for name in names:
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed: these are not the locked versions, of which the bundle is made")
        for line in lines:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate(LINUX):
                assert bundle.plain(needed.name) in here, f"{name} needs {needed.name}"
    assert not {"torch", "numpy"} & set(names)


def test_versions_are_those_of_the_lock_or_of_this_python(bundle, tmp_path):
    bundle.LOCK = tmp_path / "locked.txt"
    own = f"safetensors=={metadata.version('safetensors')}"
    assert bundle.pinned(["safetensors"]) == [own]
    bundle.LOCK.write_text("# comment\npydantic_core==1.2.3 ; python_version > '3'\nhttpx[http2]==0.9 \\\n")
    assert bundle.pinned(["pydantic-core", "safetensors", "httpx"]) == ["pydantic-core==1.2.3", own, "httpx==0.9"]
    with pytest.raises(bundle.BundleError, match=r"no-such-thing: neither in locked\.txt nor installed"):
        bundle.pinned(["no-such-thing"])


def test_a_bundle_that_cannot_be_carried_is_refused(bundle, tmp_path):
    def sized(name, size):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)

    sized("a-1-py3-none-any.whl", 50 * 10**6)
    assert len(bundle.checked(tmp_path)) == 1
    sized("a-1-py3-none-any.whl", 50 * 10**6 + 1)
    with pytest.raises(bundle.BundleError, match=r"a-1-py3-none-any\.whl: expected at most 50 MB, found 50\.0 MB"):
        bundle.checked(tmp_path)
    sized("a-1-py3-none-any.whl", 40 * 10**6)
    sized("b-1-py3-none-any.whl", 20 * 10**6 - 1)
    assert len(bundle.checked(tmp_path)) == 2
    sized("b-1-py3-none-any.whl", 20 * 10**6)
    with pytest.raises(bundle.BundleError, match=r"expected less than 60 MB in all, found 60\.0 MB"):
        bundle.checked(tmp_path)


def wheel(folder, tag="py3-none-any"):
    """A package of one module, as a wheel."""
    path = folder / f"carried-1.0-{tag}.whl"
    info = "carried-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("carried.py", "HERE = True\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        file.writestr(f"{info}/RECORD", "")
    return path


def test_wheels_are_installed_beside_what_is_there(bundle, tmp_path):
    bundle.install([wheel(tmp_path)], tmp_path / "target")
    code = "import carried, torch; assert carried.HERE"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path / "target")}, check=False)
    assert done.returncode == 0


def test_a_bundle_for_another_python_says_how_to_make_one(bundle, tmp_path):
    with pytest.raises(bundle.BundleError, match=r"make it with: benchmarks/gpu/run --bundle --python 3\.\d+"):
        bundle.install([wheel(tmp_path, "cp27-cp27m-win32")], tmp_path / "target")


def test_the_bundle_is_not_committed():
    ignored = (GPU.parents[1] / ".gitignore").read_text().splitlines()
    assert "/benchmarks/gpu/bundle/" in ignored
