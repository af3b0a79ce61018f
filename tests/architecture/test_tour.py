"""The tour names files that are there, and the walks of one batch and of one prompt enter few of them."""

import re
import sys
from pathlib import Path

import pytest

import unmask
from unmask.config.defaults import Layout
from unmask.core.random import Draws
from unmask.data import Collator, Record, encode
from unmask.objectives import Vanilla

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/unmask"
LEFT_OUT = (  # at most ten: what serves every walk and is no stop of it
    "cli/",
    "config/",  # settings, registry, YAML
    "errors.py",
    "runtime/",  # files, locks, paths, and what is assumed of transformers
    "decoding/decoder.py",  # the settings of a decoder, and the registry look-ups that resolve them
    "models/flops.py",  # counts beside the forward
    "data/templates.py",  # chat templates: docs/data.md
    "data/report.py",  # the account of rows that were left out
    "data/fields.py",  # what a text may not hold
    "data/tokens.py",  # the tokenizer
)
PROBLEM, SOLUTION = "73915284=", "37192548|13792458|12345789"


@pytest.fixture(scope="module")
def lm():
    return unmask.load("asset:quickstart/model")


def entered(work) -> dict[str, int]:
    """Return the files of src in which lines inside functions are run, with their lines."""
    found: set[str] = set()

    def trace(frame, event, argument):
        if frame.f_code.co_filename.startswith(str(SOURCE)) and frame.f_code.co_name != "<module>":
            found.add(frame.f_code.co_filename)

    work()  # what is imported late is imported now
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    names = sorted(str(Path(file).relative_to(SOURCE)) for file in found)
    return {name: len((SOURCE / name).read_text().splitlines()) for name in names if not name.startswith(LEFT_OUT)}


def one_batch(lm):
    """From a row to the gradient of its loss, as the trainer goes."""
    examples = encode([Record(prompt=PROBLEM, completion=SOLUTION)], lm.tokenizer, max_length=None)
    collate = Collator(layout=Layout(block_size=7), filler_id=lm.filler_id, draws=Draws(seed=0))
    batch = collate([{**vars(example), "order": order} for order, example in enumerate(examples)])
    objective = Vanilla()
    noised = objective.noise(batch, model=lm, draws=Draws(seed=0), progress=0.0)
    scored = lm.score(noised.query, noised.query_positions, noised.targets, want=objective.want)
    (objective.loss(scored, noised) / noised.count).backward()


def one_prompt(lm):
    """From a prompt to its text."""
    assert unmask.generate(lm, PROBLEM).texts


def named(title: str) -> set[str]:
    """Return the files that a section of the tour names."""
    text = (ROOT / "docs/tour.md").read_text().split(f"## {title}")[1].split("\n## ")[0]
    return set(re.findall(r"`([\w/]+\.py)`", text))


@pytest.mark.parametrize(("title", "walk", "most"), [("One batch", one_batch, 2000), ("One prompt", one_prompt, 2500)])
def test_a_walk_is_short_and_the_tour_names_its_files(lm, title, walk, most):
    files = entered(lambda: walk(lm))
    assert len(LEFT_OUT) <= 10
    assert len(files) <= 12, files
    assert sum(files.values()) <= most, (sum(files.values()), files)
    assert files.keys() <= named(title)


def test_every_file_of_the_tour_exists():
    names = re.findall(r"`([\w/]+\.py|[\w/]+/)`", (ROOT / "docs/tour.md").read_text())
    assert len(names) > 40
    for name in names:
        assert (SOURCE / name).exists() or ("/" not in name and list(SOURCE.rglob(name))), name
