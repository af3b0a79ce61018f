"""Shared by all tests: shapes and types are checked, one thread, toys on the path, no network."""

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parent))

import jaxtyping  # noqa: E402  # after the environment is set
import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
if os.environ.get("UNMASK_TEST_CHECKED", "1") != "0":
    jaxtyping.install_import_hook("unmask", "typechecks.checked")  # before anything of the package is imported

SLOW, WIDE = (
    (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").splitlines()[1:] for name in ("slow", "wide")
)
KEPT = {test: int(count) for count, test in map(str.split, WIDE)}


def pytest_collection_modifyitems(items):
    """Mark tests ``slow`` and ``exhaustive``.

    The fast loop, ``-m "not slow"``, runs the first case of each test that is not in slow.txt. Of the tests in wide.txt
    a few cases, evenly spread, are run by ``make test``, and the others by ``make exhaustive``.
    """
    cases = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for test, mine in cases.items():
        count = KEPT.get(test, len(mine))
        kept = {round(number * (len(mine) - 1) / max(count - 1, 1)) for number in range(count)}
        for number, item in enumerate(mine):
            if test in SLOW or number:
                item.add_marker(pytest.mark.slow)
            if number not in kept:
                item.add_marker(pytest.mark.exhaustive)


@pytest.fixture
def unchecked():
    """Leave annotations alone: for tests of what the package itself says to values of a wrong kind."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
