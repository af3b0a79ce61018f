"""The walk of docs/start is followed, and prints what its pages show; and its follower notices what differs."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("transcripts", ROOT / "scripts/transcripts.py")
transcripts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(transcripts)

SHOWN = ["accuracy  52.5 % (48.0 to 57.0)", "…", "steps     200 in 8.1 s"]


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        (["accuracy  52.5 % (48.0 to 57.0)", "a", "b", "steps     200 in 8.1 s"], 0),
        (["accuracy  60.0 % (55.0 to 65.0)", "steps   300 in 17 s"], 0),  # numbers and spaces may differ
        (["accuracy  82.5 % (48.0 to 57.0)", "steps     200 in 8.1 s"], 1),  # a share only by 15 points
        (["accuracy  52.5 % (48.0 to 57.0)", "steps     200"], 1),
        (["accuracy  52.5 % (48.0 to 57.0)", "steps     200 in 8.1 s", "a warning"], 1),
        (["a warning", "accuracy  52.5 % (48.0 to 57.0)", "steps     200 in 8.1 s"], 1),
        ([], 2),
    ],
)
def test_what_differs_is_noticed(found, problems):
    assert len(list(transcripts.differences(SHOWN, found))) == problems


def test_a_command_that_fails_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo one \\\n  two\none two\n$ false\n```\n")
    (problem,) = transcripts.follow(page, tmp_path)
    assert "$ false" in problem
    page.write_text("```console\n$ echo 7\n```\n")
    assert transcripts.follow(page, tmp_path, write=True) == []
    assert page.read_text() == "```console\n$ echo 7\n7\n```\n"


def test_every_page_of_the_walk_is_followed():
    assert {page.name for page in transcripts.DAY} == {path.name for path in (ROOT / "docs/start").glob("*.md")}


def test_the_walk_comes_out_as_its_pages_show(tmp_path):
    problems = [line for page in transcripts.DAY for line in transcripts.follow(page, tmp_path)]
    assert not problems, "\n\n".join(problems)
