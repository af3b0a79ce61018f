"""The process behind ``equal.py``: compares pairs of answers, one a line, until its input ends.

It is started as a script, so that it has neither torch nor the package to import. The kernel ends it when a
comparison works for too long or takes too much memory: no exception can interrupt a long multiplication.
"""

import json
import resource
import signal
import sys
import types
from pathlib import Path
from typing import TextIO

_SECONDS = 3.0
_BYTES = 2 * 2**30


def main() -> None:
    """Read pairs ``[expected, found]``, one a line, and write 1 for each pair that is the same, else 0."""
    package = types.ModuleType("algebra")
    package.__path__ = [str(Path(__file__).with_name("algebra"))]
    sys.modules["algebra"] = package
    from algebra.compare import same_answer  # type: ignore[import-not-found]  # it is made above

    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no verdict
    _say(out, "ready")
    for line in sys.stdin:
        # The signal is not handled, so that the kernel ends the process whatever it is doing.
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)
        try:
            same = same_answer(*json.loads(line))
        except Exception:  # whatever cannot be read, or sympy trips over, is not the expected answer
            same = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(out, str(int(same)))


def _say(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()


if __name__ == "__main__":
    main()
