"""Programs silence named loggers of libraries; warnings of the process stay as they are."""

import logging
import subprocess
import sys
import warnings

from unmask.runtime.third_party_logging import LOUD, silence_libraries


def test_named_loggers_are_silenced_and_no_warning_is():
    filters, levels = list(warnings.filters), {name: logging.getLogger(name).level for name in LOUD}
    try:
        silence_libraries()
        assert all(logging.getLogger(name).level == logging.ERROR for name in LOUD)
        assert warnings.filters == filters
        assert logging.getLogger("unmask").isEnabledFor(logging.WARNING)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def test_a_command_that_has_nothing_to_warn_of_writes_nothing_else():
    command = [sys.executable, "-m", "unmask.cli.main", "generate", "asset:quickstart/model"]
    options = ["--prompt", "73915284=", "--max-new-tokens", "28", "--block-size", "7"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert done.stderr == ""
