"""The examples in docstrings are true."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import unmask

ROOT = Path(unmask.__file__).parent
NAMES = sorted(
    "unmask." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if re.search(r"^\s*>>> ", path.read_text(), re.MULTILINE) and path.name != "__init__.py"
)


@pytest.mark.parametrize("name", NAMES)
def test_examples(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed
