"""The process behind ``equal.py``: compares pairs of answers, one a line, until its input ends.

It is started as a script, so that it has neither torch nor the package to import. The kernel ends it when a
comparison works for too long or asks for too much memory: long multiplications hear no exception.
"""

import json
import logging
import resource
import signal
import sys
from typing import TextIO

_SECONDS = 3.0
_BYTES = 2 * 2**30


def main() -> None:
    """Answer ``[expected, found]`` with 1 or 0."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no verdict
    _say(out, "ready")
    for line in sys.stdin:
        # The signal is not handled, so that the kernel ends the process whatever it is doing.
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)
        try:
            expected, found = (
                parse(f"${text}$", fallback_mode="no_fallback", parsing_timeout=None) for text in json.loads(line)
            )
            same = bool(
                expected and found and verify(expected, found, timeout_seconds=None, allow_set_relation_comp=True)
            )
        except Exception:  # whatever the parser or sympy trips over is not the expected answer
            same = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(out, str(int(same)))


def _say(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()


if __name__ == "__main__":
    main()
