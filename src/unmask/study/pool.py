"""Jobs side by side, each in a single-threaded process of its own."""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock
from typing import Any

from unmask.config.plugins import named_plugins
from unmask.errors import UserError
from unmask.study.files import read_json, write_json
from unmask.study.verify import RESULT
from unmask.study.worker import JOB, LOG, do

Follow = Callable[[str, int, int], None]
PAUSE = 0.1
IMPORTS = ("unmask.study.worker", "unmask.train.trainer", "datasets", "peft")
"""Modules that take seconds to import; they are imported once, and each job's process is a fork that has them."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The work of one process.

    Args:
        folder: where it works and writes.
        fingerprint: hash of everything that its result depends on.
        values: ``kind`` (``train`` or ``judge``) and the fields of that kind.
    """

    folder: Path
    fingerprint: str
    values: dict[str, Any]

    @property
    def is_done(self) -> bool:
        """Whether the result is there, for this very job."""
        self.check()
        return (self.folder / RESULT).exists()

    def check(self) -> None:
        """Raise ``UserError`` if another job has written to the folder."""
        written = self.folder / JOB
        if not written.exists():
            return
        found = read_json(written, "delete its folder and start the study again").get("fingerprint")
        if found != self.fingerprint:
            raise UserError(
                f"{self.folder}: holds a run with other settings than this study asks for; choose another --out, or "
                "delete that folder to run it anew"
            )


def _check_system() -> None:
    """Refuse systems where processes cannot be started from one and ended as a group."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise UserError(
            "a study: expected Linux or macOS, where processes can be started from one and ended as a group, found "
            f"{sys.platform}; run it there or in WSL 2, or train and judge each recipe by 'unmask sft' and 'eval'"
        )


class Crew:
    """Processes that do a study's jobs, one for each job; leaving the context ends those that are at work.

    The processes are started by Python's fork server, so a script that uses a crew needs the usual
    ``if __name__ == "__main__":`` around its work.

    Args:
        size: how many work side by side.
    """

    def __init__(self, size: int) -> None:
        _check_system()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*IMPORTS])
        self._threads = ThreadPoolExecutor(size)  # each waits for the process of one job
        self._lock, self._is_over = Lock(), False
        self._at_work: set[BaseProcess] = set()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._is_over = True
            for process in self._at_work:
                with contextlib.suppress(ProcessLookupError):  # it leads no group yet
                    os.killpg(process.pid or 0, signal.SIGKILL)
                process.kill()
        self._threads.shutdown()

    def run(self, jobs: Sequence[Job], what: str, follow: Follow | None = None) -> None:
        """Run the jobs that are not done yet, side by side; jobs that fail do not stop the others.

        Args:
            jobs: earlier ones start first.
            what: name of the phase, for ``follow``.
            follow: called with the phase, how many are done, and of how many.

        Raises:
            UserError: some failed; the results of the others remain.
        """
        begun = [self._threads.submit(self._do, job) for job in jobs if not job.is_done]
        finished, waiting = wait(begun, timeout=0)
        while waiting:
            finished, waiting = wait(begun, timeout=PAUSE)
            if follow:
                done = sum(future.result() is None for future in finished)
                follow(what, len(jobs) - len(begun) + done, len(jobs))
        if failed := [complaint for future in begun if (complaint := future.result())]:
            more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
            raise UserError(f"{failed[0]}{more}; start the study again to go on")

    def _do(self, job: Job) -> str | None:
        """Start the process of a job and wait for it; return what went wrong, None if the result is there."""
        job.folder.mkdir(parents=True, exist_ok=True)
        write_json(job.folder / JOB, {**job.values, "fingerprint": job.fingerprint})
        process = self._context.Process(target=do, args=(job.folder, named_plugins()))
        with self._lock:
            if self._is_over:
                return None
            process.start()
            self._at_work.add(process)
        process.join()
        with self._lock:
            self._at_work.discard(process)
        return None if job.is_done else _complaint(job.folder, process.exitcode or 0)


def _complaint(folder: Path, code: int) -> str:
    log = folder / LOG
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    last = lines[-1] if lines else "no output"
    how = f"killed by signal {-code}" if code < 0 else last.removeprefix("error: ")[:300]
    return f"{folder}: the run failed: {how} (all of it in {LOG})"
