"""Runs that cannot fit are refused before they are laid out."""

import itertools

import pytest

from unmask import generate, infill
from unmask.errors import UserError
from unmask.generate import prompts
from unmask.generate.prompts import check_memory
from unmask.models import ScratchSpec, from_scratch
from unmask.runtime.memory import free_memory


@pytest.fixture(scope="module")
def lm():
    return from_scratch(ScratchSpec(hidden_size=32, layers=1, heads=2), tokenizer="digits")


def test_more_particles_than_memory_is_one_line_before_the_run(lm):
    with pytest.raises(UserError, match=r"memory: 1 answers of 1000000000 particles at once need at least .* GiB") as e:
        generate(lm, "12", max_new_tokens=8, temperature=1.0, search={"name": "smc", "particles": 10**9})
    assert "\n" not in str(e.value)


def test_what_it_says_would_fit_fits(lm):
    """The number in the message is the largest that passes."""
    with pytest.raises(UserError) as e:
        check_memory(lm, rows=10**10, particles=1, columns=100, queried=10)
    fits = int(str(e.value).split("at most ")[1].split()[0])
    check_memory(lm, rows=fits // 2, particles=1, columns=100, queried=10)
    with pytest.raises(UserError):
        check_memory(lm, rows=fits * 2, particles=1, columns=100, queried=10)


def test_a_block_larger_than_the_text_needs_no_room_beyond_it(lm, monkeypatch):
    blanks = {"blank_tokens": 2, "threshold": 0.0}
    monkeypatch.setattr(prompts, "free_memory", lambda device: 2**20)
    assert infill(lm, "1___2", block_size=2**20, **blanks).texts == infill(lm, "1___2", block_size=4, **blanks).texts


def test_the_machine_tells_what_is_free(lm):
    assert free_memory(lm.device) > 2**20


@pytest.mark.parametrize("name", ["smc", "best_of"])
def test_a_search_answers_each_prompt_once(lm, name):
    found = generate(
        lm, ["12", "345"], max_new_tokens=8, block_size=4, temperature=1.0, search={"name": name, "particles": 3}
    )
    assert len(found.texts) == 2
    one = generate(lm, ["345"], max_new_tokens=8, block_size=4, temperature=1.0, search={"name": name, "particles": 3})
    assert one.texts == found.texts[1:]


def test_a_search_that_is_stopped_answers_each_prompt_once_too(lm):
    search = {"temperature": 1.0, "search": {"name": "best_of", "particles": 3}}
    options = {"max_new_tokens": 8, "block_size": 4, "n": 2, **search}
    found = generate(lm, ["12", "345"], through=lambda steps: itertools.islice(steps, 2), **options)
    assert len(found.texts) == len(found.is_stuck) == 4
    assert found.row_forwards == [3 * 2] * 4


@pytest.mark.parametrize("name", ["smc", "best_of"])
def test_a_search_among_equals_is_refused(lm, name):
    with pytest.raises(UserError, match="draws random numbers"):
        generate(lm, ["12"], max_new_tokens=8, search={"name": name, "particles": 3})
