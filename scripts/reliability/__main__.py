"""Tries to break runs, and counts what held: ``python scripts/reliability [--seed N] [--only kills …] [--write]``.

Every trial is a function of the seed. ``--write`` puts the table into docs/reliability.md.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import corruptions  # noqa: E402  # beside this file
import faults  # noqa: E402
import fuzz  # noqa: E402
import jail  # noqa: E402
import kills  # noqa: E402
import starters  # noqa: E402

TRIALS = {
    "kills": kills.trial,
    "corruptions": corruptions.trial,
    "starters": starters.trial,
    "faults": faults.trial,
    "fuzz": fuzz.trial,
    "hostile": jail.trial,
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
MARK = "<!-- figures: scripts/reliability --write -->"


def main() -> int:
    """Run the trials that are asked for; the exit code is 1 if one of them found a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=TRIALS, default=list(TRIALS))
    parser.add_argument("--minutes", type=float, default=10, help="of fuzzing")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    given = parser.parse_args()
    rows = []
    for name in given.only:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = TRIALS[name](Path(folder), seed=given.seed, minutes=given.minutes)
        rows += [{**row, "seconds": round(time.perf_counter() - began)} for row in found]
        for row in found:
            print(json.dumps(row), flush=True)
    if given.write:
        write(rows, given.seed)
    return int(any(row["held"] < row["of"] for row in rows))


def write(rows: list[dict[str, object]], seed: int) -> None:
    """Replace the table of the document."""
    lines = [f"{MARK}", "", f"Seed {seed}.", "", "| tried | held | of | seconds |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {row['tried']} | {row['held']} | {row['of']} | {row['seconds']} |" for row in rows]
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(text.partition(MARK)[0] + "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
