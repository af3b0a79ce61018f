"""WeDLM: its selection, its window, and its layout."""

import pytest
import torch
from places import picked, places, trace

from toys import Hash
from unmask.core.attention import may_attend
from unmask.core.attention_rules import Causal
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, Reordered, WeDlm, decode
from unmask.decoding.loop import start
from unmask.errors import UserError

INF = float("inf")


@pytest.mark.parametrize(
    ("entropy", "closed", "fields", "expected"),
    [
        ([0.3, 0.35, 0.1, 0.39], [], {}, [0, 1, 2]),  # + 0, .02, .04, .06 < .4
        ([0.3, 0.38, 0.1, 0.39], [], {}, [0, 2]),  # .4 is not below
        ([0.9, 0.5, 0.38, 0.38], [0, 1], {}, [2]),  # distance from the first open place
        ([0.9, 0.8, 0.79, 0.7], [], {"slope": 0.1}, [0]),  # none: the least of .9, .9, .99, 1.0
        ([0.9, 0.8, 0.1, 0.0], [], {"slope": INF, "threshold": INF}, [0, 1, 2, 3][:1]),
        ([0.0, 0.0], [], {"threshold": 0.0}, [0]),
        ([0.5], [0], {}, []),
    ],
)
def test_entropy_and_distance(entropy, closed, fields, expected):
    assert picked("wedlm", places([-h for h in entropy], closed=closed), **fields) == expected


def test_flat_and_one_a_step_it_is_quota_by_entropy():
    quota = {"selection": {"name": "quota", "score": "entropy"}}
    assert trace(selection={"name": "wedlm", "threshold": 0, "slope": 0}) == trace(quota)
    assert trace(selection={"name": "wedlm", "threshold": 1.8}) != trace(quota)
    with pytest.raises(UserError):
        WeDlm(slope=-1)


def canvas(prompts=((1, 2), (3,)), length=5):
    examples = [Example(prompt=p, answer=(), order=o, canvas=length) for o, p in enumerate(prompts)]
    return lay_out(examples, block_size=4, filler_id=9)


def test_open_places_come_last_and_positions_stay():
    """Row 1: a prompt token, canvas of 5 with offsets 0 and 3 written; a column of padding."""
    model, batch = Hash(), canvas()
    is_open = batch.is_canvas & (batch.offset != 0) & (batch.offset != 3)
    state = start(batch, model.mask_id, is_open)
    at = torch.tensor([[0, 2]])
    query, queried = Reordered().query(model, state, torch.tensor([1]), at)
    assert torch.equal(queried, at)
    assert torch.equal(query.columns.position, batch.position[1:])
    seen = may_attend(query.rule, query.columns, query.columns)[0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0, 0],  # prompt
        [1, 1, 0, 0, 0, 0, 0],  # written
        [1, 1, 1, 0, 1, 0, 0],  # open: all that is written, and itself
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],  # written, to the right of open ones, which it does not see
        [1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],  # padding
    ]


def test_left_to_right_it_is_the_plain_view_of_a_causal_model():
    def steps(**fields):
        resolved = Decoder(block_size=1, stop="never", **fields).resolve()
        found = decode(Hash(rule=Causal()), canvas(), resolved, draws=Draws(seed=0))
        return [(step.at.tolist(), step.tokens.tolist()) for step in found]

    assert steps(view="reordered") == steps()


def test_out_of_order_it_is_not():
    fields = {"blocks": {"name": "sliding", "longest": 4}, "selection": {"name": "wedlm", "slope": 0}}
    model, causal = Hash(rule=Causal()), Hash(rule=Causal())
    assert trace(fields, view="reordered", model=model) != trace(fields, model=causal)


def test_no_cache_can_follow_it():
    with pytest.raises(UserError, match="the view 'reordered', which lays the text out anew"):
        Decoder(view="reordered", cache="dual").resolve()


def test_the_window_is_so_many_columns_from_the_first_open_place():
    fields = {"blocks": {"name": "sliding", "longest": 4}, "selection": {"name": "wedlm", "threshold": 1.9}}
    written = set()
    for at, _, _ in trace(fields, prompts=[(1,)]):
        first = min(set(range(16)) - written)
        offsets = {offset for _, offset in at}
        assert offsets <= set(range(first, first + 4))
        written |= offsets
    assert written == set(range(16))
