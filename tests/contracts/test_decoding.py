"""What every decoder holds to on toy models, by the public checks; and how the checks tell of what is broken."""

import pytest
from decoders import DECODERS, RANDOM, every, is_any

from toys import Table
from unmask.decoding import SELECTIONS, Candidates
from unmask.decoding.defaults import SelectionDefaults
from unmask.testing import DECODER_CHECKS, check_component, check_selection
from unmask.testing.decoding import FIELDS, final_text, run


@pytest.mark.parametrize("check", DECODER_CHECKS)
@every
def test_what_every_decoder_promises(name, check):
    if check == "seeds_do_not_matter" and is_any(RANDOM, name):
        pytest.skip("it draws at temperature 0")
    DECODER_CHECKS[check](DECODERS[name])


def test_any_order_of_a_table_gives_the_same_text():
    drawn = ("gumbel", "no_eos", "'proposal': 'nucleus'", "'proposal': 'top_k'")
    found = {name: final_text(*run(Table(), DECODERS[name])) for name in DECODERS if not is_any(drawn, name)}
    ended = found.pop("stop-eos")
    plain = found.pop("selection-quota")
    assert {name for name, texts in found.items() if texts != plain} == set()
    assert all(set(cut[len(same(cut, whole)) :]) <= {9} for cut, whole in zip(ended, plain, strict=True))


def same(one, other):
    """The beginning that two texts share."""
    differs = [index for index, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]
    return one[: differs[0]] if differs else one


class Company(SelectionDefaults):
    """Writes as many tokens a row as there are rows."""

    score = "low_confidence"
    name = "quota"

    def select(self, candidates: Candidates):
        return candidates.is_open & (candidates.is_open.cumsum(1) <= len(candidates.rows))


def test_a_check_says_what_is_broken(unchecked):
    with pytest.raises(AssertionError, match="row 1 is .* in a batch and .* alone"):
        check_selection(Company())


def test_a_component_is_checked_in_the_field_that_takes_it():
    assert set(FIELDS) == {
        "selection",
        "proposal",
        "blocks",
        "revision",
        "stop",
        "cache",
        "view",
        "constraint",
        "search",
    }
    check_component(SELECTIONS["factor"](factor=2))
    with pytest.raises(ValueError, match="Company: expected a registered component of a decoder"):
        check_component(Company())
