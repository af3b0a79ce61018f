"""A worker of a study: ``python -m unmask.study PARENT`` reads folders of jobs, a line each, and writes exit codes.

Each job runs in a fork: the seconds that imports take are spent once, and what a job leaves in memory goes with it.
"""

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from unmask.errors import UserError
from unmask.quiet import quiet
from unmask.study.worker import work

PAUSE = 0.05
SLOW_IMPORTS = ("datasets", "peft", "unmask.train.trainer")
"""What jobs would import one by one, when they first need it."""


def serve(parent: int) -> None:
    """Do the jobs that the study in process ``parent`` sends, until it has no more or is gone."""
    import torch

    quiet()
    torch.set_num_threads(1)
    for name in SLOW_IMPORTS:
        importlib.import_module(name)
    for line in sys.stdin:
        code = _in_a_fork(Path(line.rstrip("\n")), parent)
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


def _in_a_fork(folder: Path, parent: int) -> int:
    me = os.getpid()
    child = os.fork()
    if child == 0:
        threading.Thread(target=_leave_with, args=(me,), daemon=True).start()
        os._exit(_job(folder))
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if os.getppid() != parent:  # the study's next start would meet a stray job
            os.kill(child, signal.SIGKILL)
            sys.exit(1)
        time.sleep(PAUSE)


def _leave_with(worker: int) -> None:
    while os.getppid() == worker:
        time.sleep(1)
    os._exit(1)


def _job(folder: Path) -> int:
    """Do one job with its output in ``log.txt``; a user's mistake is one line."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(source, stream)
    try:
        work(folder)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":  # not when a test imports every module
    serve(int(sys.argv[1]))
