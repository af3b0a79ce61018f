"""Jobs side by side, a single-threaded process each."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.study.judge import write_json
from unmask.study.worker import JOB, RESULT

Follow = Callable[[str, int, int], None]
PAUSE = 0.1


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker is asked.

    Args:
        folder: where it works and writes.
        fingerprint: of everything that its result depends on.
        values: ``kind`` and its fields; see ``worker.py``.
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
        """Refuse a folder that another job has written to."""
        written = self.folder / JOB
        if not written.exists():
            return
        found = json.loads(written.read_text()).get("fingerprint")
        if found != self.fingerprint:
            raise UserError(
                f"{self.folder}: holds a run with other settings than this study asks for; choose another --out, or "
                "delete that folder to run it anew"
            )


def run_jobs(jobs: Sequence[Job], *, workers: int, what: str, follow: Follow | None = None) -> None:
    """Run what is not done yet, ``workers`` at a time; jobs that fail do not stop the others.

    Args:
        jobs: earlier ones start first.
        workers: processes at a time.
        what: name of the phase, for ``follow``.
        follow: called with the phase, how many are done, and of how many.

    Raises:
        UserError: some failed; what is done stays.
    """
    waiting = [job for job in jobs if not job.is_done]
    running: dict[Path, tuple[Job, subprocess.Popen[bytes]]] = {}
    failed: list[str] = []
    total = len(jobs)
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop(0)
                running[job.folder] = (job, _start(job))
            time.sleep(PAUSE)
            for folder, (job, process) in list(running.items()):
                if process.poll() is not None:
                    del running[folder]
                    if not job.is_done:
                        failed.append(_complaint(job, process.returncode))
            if follow:
                follow(what, total - len(waiting) - len(running) - len(failed), total)
    finally:
        for _, process in running.values():
            process.kill()
            process.wait()
    if failed:
        more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise UserError(f"{failed[0]}{more}; start the study again to go on")


def _start(job: Job) -> "subprocess.Popen[bytes]":
    job.folder.mkdir(parents=True, exist_ok=True)
    write_json(job.folder / JOB, {**job.values, "fingerprint": job.fingerprint})
    # One thread each: processes that share cores would wait for each other's threads.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (job.folder / "log.txt").open("ab") as log:
        command = [sys.executable, "-m", "unmask.study", str(job.folder), str(os.getpid())]
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)


def _complaint(job: Job, code: int) -> str:
    lines = (job.folder / "log.txt").read_text(errors="replace").strip().splitlines() or ["no output"]
    how = f"killed by signal {-code}" if code < 0 else lines[-1].removeprefix("error: ")[:300]
    return f"{job.folder}: the run failed: {how} (all of it in log.txt)"
