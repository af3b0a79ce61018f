"""dKV-Cache: what was written is read once more, then kept."""

import pytest
from test_caching import BLOCK, CANVAS, HOW, Layers, canvas, model, same, spy, trace

from toys import Hash
from unmask.core.random import Draws
from unmask.decoding import Decoder, measure_drift


class Reads(Hash):
    """Writes down which columns each forward reads."""

    def __init__(self, **fields):
        super().__init__(**fields)
        self.places = []

    def logits(self, query, query_positions):
        self.places.append([sorted(set(row)) for row in query.past.column.tolist()])
        return super().logits(query, query_positions)


def drift_of(lm, cache, **fields):
    resolved = Decoder(**{"block_size": BLOCK, "stop": "never", "cache": cache, **fields}).resolve()
    return measure_drift(lm, canvas(), resolved, draws=Draws(seed=0))


def test_columns_read_by_hand():
    """A prompt of 2 and a block of 4, left to right. Column 2 is written at the first forward and read as itself at the
    second, column 3 is written at the second and read at the third, when 2 is kept already."""
    toy = Reads()
    batch = canvas([[1, 2]], length=4, block=4)
    left_to_right = {"selection": {"name": "prefix", "threshold": 2}}
    trace(toy, left_to_right, cache={"name": "dkv", "refresh_every": 9}, batch=batch)
    assert toy.places == [[[0, 1, 2, 3, 4, 5]], [[2, 3, 4, 5]], [[3, 4, 5]], [[4, 5]]]
    toy = Reads()
    trace(toy, left_to_right, cache={"name": "dkv", "refresh_every": 2}, batch=batch)
    assert toy.places == [[[0, 1, 2, 3, 4, 5]], [[2, 3, 4, 5]], [[0, 1, 2, 3, 4, 5]], [[4, 5]]]


def test_a_block_begins_with_everything_and_open_places_of_later_blocks_are_read():
    toy = Reads()
    batch = canvas([[1, 2]], length=6, block=3)
    trace(toy, {"selection": {"name": "prefix", "threshold": 2}, "block_size": 3}, cache="dkv", batch=batch)
    whole = list(range(8))
    assert toy.places == [[whole], [[2, 3, 4, 5, 6, 7]], [[3, 4, 5, 6, 7]], [whole], [[5, 6, 7]], [[6, 7]]]


def test_what_is_taken_back_or_asked_is_read():
    toy = Reads()
    steps = trace(toy, {"revision": "saber", "blocks": "whole"}, cache="dkv", batch=canvas([[1, 2]]))
    assert any(len(step.taken_back) for step in steps)
    for places in toy.places:
        assert set(range(2, 2 + CANVAS)) <= set(places[0])
    assert toy.places[1] == [list(range(2, 2 + CANVAS))]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("attention", ["bidirectional", "block_causal"])
@pytest.mark.parametrize("shift", [False, True])
def test_reading_everything_every_time_is_no_cache(how, attention, shift):
    lm, always = model(attention, shift), spy("dkv", refresh_every=1)
    same(trace(lm, HOW[how], cache=always), trace(lm, HOW[how], cache="none"))
    assert always.worst < 1e-4
    assert always.queried > 0


@pytest.mark.parametrize("shift", [False, True])
def test_it_drifts_on_a_real_model_and_less_the_more_it_refreshes(shift):
    lm = model("bidirectional", shift)
    often, seldom = (drift_of(lm, {"name": "dkv", "refresh_every": every}, blocks="whole") for every in (1, 99))
    assert often.logits < 1e-4
    assert often.text == 0
    assert seldom.logits > 1e-2


def test_one_layer_with_states_that_nothing_changed_is_exact():
    """Hash reads tokens, not states: what is kept is what stands there, for ever."""
    for fields in HOW.values():
        same(trace(Hash(), fields, cache="dkv"), trace(Hash(), fields, cache="none"))
    assert drift_of(Layers(), "dkv").tokens > 0


def test_a_shifted_model_is_answered_from_the_column_before():
    """The first forward reads everything; at the second, no state that matters has changed but for what was written."""
    lm, second = model("bidirectional", True), spy("dkv", refresh_every=99)
    trace(lm, {"selection": {"name": "prefix", "threshold": 2}}, cache=second, batch=canvas([[1, 2, 3]], length=1))
    assert second.worst < 1e-5
    causal, kept = model("context_causal", True), spy("dkv", refresh_every=99)
    trace(causal, {"selection": {"name": "prefix", "threshold": 2}, "block_size": 1}, cache=kept)
    assert kept.worst < 1e-4
