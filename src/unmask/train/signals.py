"""SIGINT and SIGTERM ask a run to stop after its step and to save; a second one ends it at once."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

_ASKED = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Catches the signals while it is entered, in the main thread only: elsewhere Python lets nobody catch them.

    ``number`` is that of the first signal that came, None before.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._stop) for number in _ASKED}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.number = number
        name = signal.Signals(number).name
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2,
                 f"\n{name}: stopping after this step, and saving; once more to end at once\n".encode())  # fmt: skip
