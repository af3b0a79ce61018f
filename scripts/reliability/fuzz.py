"""Damaged files and invented input for every reader: one line for each, no traceback, no wait, little memory."""

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import corpus  # of the tests
from unmask.cli.main import app

MOST_MIB = 1024
ROOT = Path(__file__).parents[2]
READERS = "tests/unit/safety/test_fuzz_readers.py"
EXAMPLES_PER_MINUTE = 60  # of each reader, about what two slow cores do


def trial(folder: Path, *, seed: int, minutes: float) -> list[dict[str, object]]:
    """Spend the minutes, half on damaged files and half on hypothesis."""
    tried, faults = _damaged(folder, seed, 30 * minutes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    passed, readers = _invented(seed, max(1, round(EXAMPLES_PER_MINUTE * minutes / 2)))
    return [
        {"tried": "damaged files: one line each, within 5 s", "held": tried - faults, "of": tried},
        {"tried": f"memory meanwhile below {MOST_MIB} MiB (peak {peak:.0f})", "held": int(peak < MOST_MIB), "of": 1},
        {"tried": "readers that withstood hypothesis", "held": passed, "of": readers},
    ]


def _damaged(folder: Path, seed: int, seconds: float) -> tuple[int, int]:
    """Return how many damaged files were tried, and how many did not end as they should."""
    until, tried, faults = time.monotonic() + seconds, 0, 0
    for case in corpus.build(folder / "corpus", app).cases(10**9, seed):
        if time.monotonic() > until:
            break
        tried += 1
        if wrong := corpus.verdict(app, case):
            faults += 1
            print(f"{case.name}: {wrong}", flush=True)
    return tried, faults


def _invented(seed: int, examples: int) -> tuple[int, int]:
    """Return how many tests of readers passed, and of how many."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", READERS, "-p", "no:cacheprovider", f"--hypothesis-seed={seed}", "--tb=short"],
        cwd=ROOT, env={**os.environ, "UNMASK_FUZZ_EXAMPLES": str(examples), "UNMASK_TEST_CHECKED": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    if done.returncode:
        print(done.stdout[-3000:], flush=True)
    return counts.get("passed", 0), sum(counts.values())
