"""Jobs side by side, in single-threaded processes."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.plugins import environment
from unmask.study.files import read_json, write_json
from unmask.study.verify import RESULT
from unmask.study.worker import JOB

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
        found = read_json(written, "delete its folder and start the study again").get("fingerprint")
        if found != self.fingerprint:
            raise UserError(
                f"{self.folder}: holds a run with other settings than this study asks for; choose another --out, or "
                "delete that folder to run it anew"
            )


class Crew:
    """Processes that do a study's jobs, started when first needed; a context that ends them.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self._workers = [_Worker() for _ in range(size)]

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()

    def run(self, jobs: Sequence[Job], what: str, follow: Follow | None = None) -> None:
        """Run what is not done yet, side by side; jobs that fail do not stop the others.

        Args:
            jobs: earlier ones start first.
            what: name of the phase, for ``follow``.
            follow: called with the phase, how many are done, and of how many.

        Raises:
            UserError: some failed; what is done stays.
        """
        waiting = [job for job in jobs if not job.is_done]
        failed: list[str] = []
        while waiting or any(worker.job for worker in self._workers):
            for worker in self._workers:
                if waiting and worker.job is None:
                    worker.take(waiting.pop(0))
            time.sleep(PAUSE)
            for worker in self._workers:
                if worker.job is not None and (code := worker.code()) is not None:
                    job, worker.job = worker.job, None
                    if not job.is_done:
                        failed.append(_complaint(job, code))
            if follow:
                busy = sum(worker.job is not None for worker in self._workers)
                follow(what, len(jobs) - len(waiting) - busy - len(failed), len(jobs))
        if failed:
            more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
            raise UserError(f"{failed[0]}{more}; start the study again to go on")


class _Worker:
    """A process that does one job after another; see ``__main__.py``."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._process: subprocess.Popen[str] | None = None

    def take(self, job: Job) -> None:
        """Send a job; the process is started when first needed, and again where it died."""
        self.job = job
        job.folder.mkdir(parents=True, exist_ok=True)
        write_json(job.folder / JOB, {**job.values, "fingerprint": job.fingerprint})
        if self._process is None or self._process.poll() is not None:
            self._start(job.folder / "log.txt")
        with contextlib.suppress(BrokenPipeError):  # it died at once: its exit code tells
            self._pipe("stdin").write(f"{job.folder}\n")
            self._pipe("stdin").flush()

    def code(self) -> int | None:
        """Return the job's exit code, or that of the process if it died; None while it is at work."""
        if not select.select([self._pipe("stdout")], [], [], 0)[0]:
            return None
        line = self._pipe("stdout").readline()
        return int(line) if line else self._process.wait()  # type: ignore[union-attr]

    def stop(self) -> None:
        """End the process and the job that it may be at."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for pipe in (self._process.stdout, self._process.stdin):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()  # type: ignore[union-attr]

    def _start(self, log: Path) -> None:
        self.stop()  # closes the pipes of one that died
        # One thread each: processes that share cores would wait for each other's threads.
        variables = {**environment(), "OMP_NUM_THREADS": "1"}
        with log.open("ab") as complaints:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "unmask.study", str(os.getpid())],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True,
                start_new_session=True, env=variables,
            )  # fmt: skip

    def _pipe(self, name: str) -> Any:
        return getattr(self._process, name)


def _complaint(job: Job, code: int) -> str:
    lines = (job.folder / "log.txt").read_text(errors="replace").strip().splitlines() or ["no output"]
    how = f"killed by signal {-code}" if code < 0 else lines[-1].removeprefix("error: ")[:300]
    return f"{job.folder}: the run failed: {how} (all of it in log.txt)"
