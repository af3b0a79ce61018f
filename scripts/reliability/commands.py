"""Commands of unmask in forks of this process, which has imported everything once."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from unmask.cli.main import app

torch.set_num_threads(1)

SHAPE = {"hidden_size": 32, "layers": 2, "heads": 2}
RECIPE = {
    "model": {"from_scratch": SHAPE},
    "data": {"task": "sorting", "size": 64, "held_out": 4},
    "objective": {"name": "blockwise", "block_size": 8},
    "run": {"steps": 60, "batch_size": 4, "lr": 1e-3, "eval_every": 20},
}


def write_recipe(path: Path, **sections: object) -> Path:
    """Write the usual recipe with some sections replaced."""
    path.write_text(yaml.safe_dump({**RECIPE, **sections}))
    return path


def make_model(folder: Path) -> Path:
    """Save a small random model."""
    from unmask.models import ScratchSpec, from_scratch

    from_scratch(ScratchSpec(**SHAPE)).save(folder)
    return folder


def start(arguments: Sequence[object], log: Path) -> int:
    """Start a command in a process group of its own, with its output in ``log``; return its process id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    code = 70
    try:
        app([str(argument) for argument in arguments])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int, seconds: float = 600) -> int | None:
    """Return the exit code of a command, None if it is still running after so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def kill(pid: int) -> None:
    """End a command and its processes at once."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def done(arguments: Sequence[object], log: Path) -> str:
    """Run a command that must succeed; return its output."""
    code = wait(start(arguments, log))
    text = log.read_text(errors="replace")
    if code != 0:
        raise RuntimeError(f"{' '.join(map(str, arguments))}: exit code {code}: {text[-2000:]}")
    return text
