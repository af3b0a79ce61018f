"""Child processes that end with the process that started them."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """End this process, with exit code 1, as soon as the one that started it is gone, however that ended.

    To be called in a process that ``multiprocessing`` has started; elsewhere nothing is done.
    """
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
