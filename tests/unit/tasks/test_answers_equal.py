"""Kinds of answers that scorers get wrong, and near misses: ``answers.tsv``, which names the reports of each kind."""

from pathlib import Path

import pytest

from unmask.tasks.equal import is_equal


def _cases():
    kind = ""
    for line in Path(__file__).with_name("answers.tsv").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            kind = line[2:]
        else:
            expected, verdict, found = line.split("\t")
            yield pytest.param(expected, found, verdict == "same", id=f"{kind}: {expected} {verdict} {found}")


@pytest.mark.parametrize(("expected", "found", "same"), list(_cases()))
def test_kinds_of_answers(expected, found, same):
    assert is_equal(expected, found) is same
