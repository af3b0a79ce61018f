"""Whose random numbers are whose."""

import pytest

from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.generate import generate
from unmask.generate.prompts import row_keys
from unmask.models import ScratchSpec, from_scratch

SPEC = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3)
HOT = {"max_new_tokens": 12, "block_size": 4, "temperature": 1.0, "stop": "never"}
PROMPTS = ["12=", "3", "45678="]


@pytest.fixture(scope="module")
def lm():
    return from_scratch(SPEC)


def test_a_row_depends_on_its_prompt_and_seed_and_not_on_its_neighbours(lm):
    alone = [generate(lm, prompt, seed=5, **HOT).texts[0] for prompt in PROMPTS]
    assert generate(lm, PROMPTS, seed=5, **HOT).texts == alone
    assert generate(lm, PROMPTS[::-1], seed=5, **HOT).texts == alone[::-1]
    assert generate(lm, [*PROMPTS, "9", "12="], seed=5, **HOT).texts[-1] == alone[0]
    assert len({*alone}) == 3


@pytest.mark.parametrize("decoder", [
    Decoder(block_size=4, selection={"name": "quota", "score": "random"}),
    Decoder(block_size=4, steps=6, selection={"name": "dream", "alg": "entropy", "alg_temp": 0.5}),
    Decoder(block_size=4, threshold=0.4, proposal={"name": "nucleus", "top_p": 0.9, "temperature": 1.0}),
], ids=["random order", "dream", "nucleus"])  # fmt: skip
def test_so_it_is_with_every_part_that_draws(lm, decoder):
    options = {"decoder": decoder, "max_new_tokens": 12, "seed": 3}
    alone = [generate(lm, prompt, **options).texts[0] for prompt in PROMPTS]
    assert generate(lm, ["777=", *PROMPTS], **options).texts[1:] == alone


def test_a_seed_for_each_prompt(lm):
    one, two = (generate(lm, "12=", seed=seed, **HOT).texts[0] for seed in (1, 2))
    assert one != two
    assert generate(lm, ["12="] * 3, seed=[1, 2, 1], **HOT).texts == [one, two, one]
    assert generate(lm, ["12="] * 2, seed=1, **HOT).texts == [one, one]
    for seeds in ([1], [1, 2, 3]):
        with pytest.raises(UserError, match=f"one for each of the 2 prompts, found {len(seeds)}"):
            generate(lm, ["1", "2"], seed=seeds, **HOT)


def test_samples_are_independent_and_more_of_them_change_none(lm):
    out = generate(lm, PROMPTS[:2], n=3, **HOT)
    assert len({*out.texts}) == 6
    assert out.samples == [out.texts[:3], out.texts[3:]]
    assert len(out.answers) == len(out.row_forwards) == len(out.sequences) == 6
    more = generate(lm, PROMPTS[0], n=5, **HOT)
    assert more.texts[:3] == out.texts[:3]
    assert more.texts[0] == generate(lm, PROMPTS[0], **HOT).texts[0]


def test_the_keys_tell_text_seed_and_sample_apart():
    keys = row_keys([[1, 2], [1], [12]], 0, 2)
    assert len({*keys, *row_keys([[1, 2], [1], [12]], 1, 2)}) == 12
    assert row_keys([[1]], 0, 2) == keys[2:4]
    assert all(0 <= key < 2**63 for key in keys)
    assert row_keys([[1]], 0, 2, 3)[:2] == keys[2:4]


DETERMINISTIC = {
    "default": {},
    "threshold": {"threshold": 0.9},
    "greedy": {"proposal": "greedy"},
    "no temperature": {"proposal": {"name": "nucleus", "top_p": 0.9, "temperature": 0.0}},
}


@pytest.mark.parametrize("options", DETERMINISTIC.values(), ids=DETERMINISTIC)
def test_several_samples_of_one_that_draws_nothing_are_refused(lm, options):
    with pytest.raises(UserError, match=r"n: expected a decoder that draws random numbers.*write temperature=0.7, or"):
        generate(lm, "12=", n=2, max_new_tokens=8, **options)


@pytest.mark.parametrize("selection", [{"name": "quota", "score": "random"}, {"name": "dream", "alg": "origin"}])
def test_a_random_order_is_random_enough(lm, selection):
    out = generate(lm, "12=", n=4, max_new_tokens=12, block_size=12, selection=selection, steps=12)
    assert len({*out.texts}) > 1


def test_no_sample_is_refused(lm):
    with pytest.raises(UserError, match="n=0: expected at least 1 sample of each prompt"):
        generate(lm, "12=", n=0)
