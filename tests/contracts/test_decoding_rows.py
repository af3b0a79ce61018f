"""Rows are independent, whatever decodes them: of one another, of how long they are, of where decoding stops."""

import pytest
from decoders import DECODERS, PROMPTS, every, is_any, run, text, usual

from toys import EndFirst, Hash

SAMPLED = (
    "random",
    "gumbel",
    "'proposal': 'nucleus'",
    "'proposal': 'top_k'",
    "origin",
    "alg_temp",
    "info_gain",
    "remdm",
)


@every
@pytest.mark.parametrize("row", [1, 2])
def test_a_batch_of_uneven_prompts_equals_single_runs(name, row):
    batch, steps, _ = usual(name)
    assert text(*run(Hash(), DECODERS[name], prompts=PROMPTS[row : row + 1], orders=[row])) == [text(batch, steps)[row]]


@every
def test_temperature_zero_is_seed_free_and_seeds_repeat(name):
    batch, steps, _ = usual(name)
    seed = 0 if is_any(SAMPLED, name) else 2
    assert text(*run(Hash(), DECODERS[name], seed=seed)) == text(batch, steps)


@every
def test_early_stop_gives_the_full_run_up_to_its_first_end(name):
    fields = {field: value for field, value in DECODERS[name].items() if field != "stop"}
    batch, full = run(EndFirst(), fields, prompts=PROMPTS[::2])
    _, stopped = run(EndFirst(), fields, prompts=PROMPTS[::2], stop="eos")
    for whole, cut in zip(text(batch, full), text(batch, stopped), strict=True):
        end = whole.index(9) + 1 if 9 in whole else len(whole)
        assert cut[:end] == whole[:end]
        assert set(cut[end:]) <= {9}
    assert len(stopped) <= len(full)


@every
def test_lengths_that_do_not_divide(name):
    """Canvas shorter than a block, no multiple of it, one token; empty prompt; alone and side by side."""
    prompts, lengths = [[1], [1, 2, 3], [], [1]], [3, 6, 5, 1]
    found = text(*run(Hash(), DECODERS[name], prompts=prompts, length=lengths))
    assert [len(row) for row in found] == lengths
    for row in (2, 3):
        alone = text(*run(Hash(), DECODERS[name], prompts=prompts[row : row + 1], length=lengths[row], orders=[row]))
        assert len(alone[0]) == lengths[row]
        assert alone[0] == found[row] or "steps" in DECODERS[name]
