"""No command answers anything with a traceback: damaged files, odd paths, full disks, faults of our own."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import corpus
from unmask.cli.main import app

CASES = int(os.environ.get("UNMASK_CORPUS_CASES", "110"))
SEED = int(os.environ.get("UNMASK_CORPUS_SEED", "0"))


def test_damaged_files(tmp_path):
    """More cases: UNMASK_CORPUS_CASES=3800 UNMASK_CORPUS_SEED=1 pytest tests/cli/test_no_traceback.py."""
    damaged = corpus.build(tmp_path / "corpus", app)
    found = {case.name: corpus.verdict(app, case) for case in damaged.cases(CASES, SEED)}
    assert len(found) == CASES
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def one_line(*arguments, code=2):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert len(lines[0]) < 420
    return lines[0]


PATHS = {
    "long": "a" * 5000,
    "long parts": "/".join(["b" * 250] * 40),
    "empty": "",
    "a device": "/dev/null",
    "endless": "/dev/zero",
    "below a file": "file.txt/model",
    "a loop": "loop",
    "a pipe": "pipe.jsonl",
    "a pipe of a model": "pipe.gguf",
    "a folder like a file": "folder.gguf",
    "new lines": "a\nb\n" * 900,
    "half a pair": "a\udcff.jsonl",
    "dots": "../" * 3000,
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_odd_paths(path, tmp_path, models):
    Path("file.txt").write_text("x")
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe.jsonl")
    os.mkfifo("pipe.gguf")
    Path("folder.gguf").mkdir()
    one_line("inspect", path)
    one_line("plot", path, "--out", "a.png")
    one_line("preview", path, "--model", models.chat)
    one_line("check", path)
    one_line("generate", models.digits, "--prompt", "1", "--json-schema", path)
    Path("recipe.yaml").write_text("model: {}\ndata: {task: sorting}\nobjective: vanilla\nrun: {steps: 1}\n")
    if path.isprintable() and path != "file.txt/model":  # which could be a name on the hub
        one_line("check", "recipe.yaml", "--set", f"model.path='{path}'")


def test_pipes_inside_folders_do_not_hang(models, tmp_path):
    for name in ("config.json", "model.safetensors", "tokenizer.json", "generation_config.json"):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        for file in Path(models.digits).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert "a pipe" in one_line("inspect", folder) or name == "config.json"


class OddError(BaseException):
    """As libraries in Rust raise."""


OURS = {
    "a mistake": KeyError("x"),
    "a long message": ValueError("y" * 10**6),
    "half a pair": AssertionError("\ud83d"),
    "several lines": RuntimeError("a\nb\nc"),
    "no Exception": OddError("panic"),
    "no message": RuntimeError(),
    "too deep": RecursionError("maximum recursion depth exceeded"),
}


def raising(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("unmask.tracing.record.read_trace", fail)
    return ("plot", "t.jsonl", "--out", "a.png")


@pytest.mark.parametrize("error", OURS.values(), ids=OURS)
def test_faults_of_our_own(monkeypatch, tmp_path, error):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    line = one_line(*raising(monkeypatch, error), code=70)
    assert "this is a fault of unmask, please report it; the traceback is in " in line
    written = Path(line.rpartition(" is in ")[2]).read_text()
    assert "Traceback (most recent call last)" in written
    assert type(error).__name__ in written


def test_faults_of_our_own_where_nothing_can_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert "its traceback could not be written" in one_line(*raising(monkeypatch, KeyError("x")), code=70)


def chained(error, cause):
    error.__cause__ = cause
    return error


OUTSIDE = {
    "full disk": OSError(errno.ENOSPC, "No space left on device", "out/x"),
    "quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "file too large": OSError(errno.EFBIG, "File too large"),
    "broken disk": OSError(errno.EIO, "Input/output error", "x"),
    "too many files": OSError(errno.EMFILE, "Too many open files", "x"),
    "below another": chained(RuntimeError("cannot save"), OSError(errno.ENOSPC, "No space left on device")),
    "of a library": RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    "memory": MemoryError(),
    "memory of tensors": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
}


@pytest.mark.parametrize("error", OUTSIDE.values(), ids=OUTSIDE)
def test_what_the_machine_refuses(monkeypatch, error):
    line = one_line(*raising(monkeypatch, error))
    assert "fault of unmask" not in line
    assert re.search("write elsewhere|larger machine", line)


def test_interrupted(monkeypatch):
    result = CliRunner().invoke(app, list(raising(monkeypatch, KeyboardInterrupt())))
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -c 'import sys; from unmask.cli.main import app; app(sys.argv[1:])' methods | true; "
    done = subprocess.run(
        ["bash", "-c", command + 'echo "${PIPESTATUS[0]}"'], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")
