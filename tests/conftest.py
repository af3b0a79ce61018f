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
jaxtyping.install_import_hook("unmask", "typechecks.checked")  # before anything of the package is imported


SLOW = frozenset((Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").splitlines()[1:])


def pytest_collection_modifyitems(items):
    """The fast loop, ``-m "not slow"``, runs the first case of each test that is not in slow.txt."""
    seen = set(SLOW)
    for item in items:
        test = item.nodeid.partition("[")[0]
        if test in seen:
            item.add_marker(pytest.mark.slow)
        seen.add(test)


@pytest.fixture(autouse=True)
def _checked_if_not_slow(request):
    """Checks double the time of slow tests, so they run without; the first case of a quick test has them."""
    jaxtyping.config.update("jaxtyping_disable", request.node.get_closest_marker("slow") is not None)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def unchecked():
    """Leave annotations alone: for tests of what the package itself says to values of a wrong kind."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
