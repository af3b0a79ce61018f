"""WINO: bold drafts, and tokens verified at shadows of their columns."""

from dataclasses import replace

import pytest
import torch
from places import MASK, picked, places, state_of, trace

from toys import Hash
from unmask.core.attention import SHADOW, BlockCausal, may_attend
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import REVISIONS, VIEWS, Decoder, decode
from unmask.decoding.loop import start
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [0, 1, 3]),  # strictly above .6
        ({"threshold": 0.95}, [1]),
        ({"threshold": -1, "least": 2, "share": 0.5}, [1, 2, 3]),  # half of six
        ({"threshold": -1, "least": 2, "share": 0.1}, [1, 3]),
        ({"threshold": -1, "most": 1}, [1]),
    ],
)
def test_selection_by_hand(fields, expected):
    scores = [0.65, 0.9, 0.7, 0.8, 0.2, 0.6] if fields.get("threshold") == -1 else [0.65, 0.9, 0.6, 0.8, 0.2, 0.1]
    assert picked("wino", places(scores), **fields) == expected


@pytest.mark.parametrize(("open_places", "cap"), [(3, 3), (7, 5), (10, 7), (20, 14), (28, 19), (29, 20), (64, 20)])
def test_the_cap_of_the_paper(open_places, cap):
    """min(max(int(0.7 m), 5), 20), and no more than there are."""
    assert len(picked("wino", places([0.99] * open_places))) == cap


def verified(probabilities, *, chosen, before, closed, **fields):
    """What is taken back: ``probabilities`` of the token 0 that stands at each place."""
    logits = torch.full((len(probabilities), MASK + 1), -1e9, dtype=torch.float64)
    logits[:, 0] = torch.tensor(probabilities, dtype=torch.float64).log()
    logits[:, 1] = (1 - torch.tensor(probabilities, dtype=torch.float64)).log()
    first = places(probabilities)
    kept = torch.zeros_like(first.is_open)
    kept[0, before] = True
    first.memory.keep("wino", kept)
    candidates = places(
        probabilities, closed=closed, correctness=[0.0] * len(probabilities), logits=logits.tolist(),
        memory=first.memory.written(1),
    )  # fmt: skip
    is_chosen = torch.zeros_like(candidates.is_open)
    is_chosen[0, chosen] = True
    change = REVISIONS["wino"](**fields).revise(state_of(), candidates, is_chosen)
    assert torch.equal(change.write, is_chosen)
    return change.hide[0].nonzero().flatten().tolist()


def test_doubtful_tokens_are_taken_back_by_hand():
    now = [0.95, 0.3, 0.6, 0.5, 0.5, 0.5]  # places 0, 1, 2 are written
    assert verified(now, chosen=[3, 4], before=[0, 1, 2], closed=[0, 1, 2]) == [1, 2]
    assert verified(now, chosen=[3, 4], before=[0, 1], closed=[0, 1, 2]) == [1]  # two before: one at most
    assert verified(now, chosen=[3, 4], before=[2], closed=[0, 1, 2]) == []
    assert verified(now, chosen=[3], before=[0, 1, 2], closed=[0, 1, 2]) == []  # only one was chosen
    assert verified(now, chosen=[3, 4], before=[0, 1, 2], closed=[0, 1, 2], threshold=0.5) == [1]
    assert verified(now, chosen=[3, 4], before=[0, 1, 2], closed=[0, 1, 2], threshold=0) == []


BOLD = {
    "revision": {"name": "wino", "threshold": 2},
    "selection": {"name": "wino", "threshold": 0.05, "least": 3, "most": 3},
    "blocks": "whole",
}


def test_after_every_step_at_least_as_many_places_as_steps_are_filled():
    """Everything is doubted, always: it still comes to an end."""
    steps = trace(BOLD)
    assert any(back for _, _, back in steps)
    for row in range(2):
        filled = 0
        for number, (write, _, back) in enumerate(steps, 1):
            filled += sum(at[0] == row for at in write) - sum(at[0] == row for at in back)
            assert filled >= min(number, 16)
        assert filled == 16


def test_without_doubt_it_is_the_capped_threshold():
    neutral = {"name": "wino", "threshold": 0}
    alone = trace({"selection": "wino", "blocks": "whole"})
    assert trace({"revision": neutral, "blocks": "whole"}) == alone
    capless = {"name": "wino", "threshold": 0.3, "share": 1, "least": 16}
    assert trace({"revision": neutral, "selection": capless}) == trace({"threshold": 0.3})
    bold = trace({"selection": BOLD["selection"], "blocks": "whole"})
    assert bold == trace({**BOLD, "revision": "none"})
    assert trace(BOLD) != bold != trace({"blocks": "whole"})


def test_parts_come_along_and_others_are_refused():
    resolved = Decoder(revision="wino").resolve(exact_cache="block")
    assert (resolved.view.name, resolved.selection.name, resolved.cache.name) == ("shadow", "wino", "none")
    resolved = Decoder(revision="wino", threshold=0.5, view="shadow").resolve()
    assert (resolved.view.name, resolved.selection.name) == ("shadow", "threshold")
    resolved = Decoder(revision={"name": "wino", "threshold": 0}).resolve(heads=["soft_mask"], exact_cache="block")
    assert (resolved.view.name, resolved.cache.name) == ("soft_mask", "block")
    with pytest.raises(UserError, match=r"view 'cfg' beside the revision 'wino': expected the view 'shadow'"):
        Decoder(revision="wino", view="cfg").resolve()
    with pytest.raises(UserError, match=r"cache 'dual' beside the view 'shadow'.*expected the cache 'none'"):
        Decoder(revision="wino", cache="dual").resolve()
    with pytest.raises(UserError, match="shifted logits"):
        trace(BOLD, model=Hash(shift=True))


def half_written(mask_id=MASK, block=4):
    """Two rows whose active blocks are of 4 and 3 columns, with every other place written."""
    examples = [Example(prompt=p, answer=(), order=o, canvas=7) for o, p in enumerate([[1, 2, 3], [4]])]
    batch = lay_out(examples, block_size=block, filler_id=9)
    state = start(batch, mask_id)
    is_open = state.is_open & (batch.offset % 2 == 1)
    return replace(
        state,
        ids=torch.where(is_open, mask_id, torch.where(batch.is_canvas, batch.offset + 1, batch.ids)),
        is_open=is_open,
        block_start=torch.tensor([0, 4]),
        block_end=torch.tensor([4, 7]),
    )


def asked_of(state, model, rows=(0, 1)):
    at = [(r, c) for r in range(len(rows)) for c in state.is_in_block[rows[r]].nonzero().flatten().tolist()]
    return VIEWS["shadow"]().query(model, state, torch.tensor(rows), torch.tensor(at)), at


def test_layout_by_hand():
    state = half_written()
    (query, queried), at = asked_of(state, Hash())
    assert query.ids.shape == (2, 14)
    assert query.ids[:, 10:].tolist() == [[MASK] * 4] * 2
    assert query.columns.position[:, 10:].tolist()[0] == [3, 4, 5, 6]
    assert query.columns.position[1, 10:13].tolist() == [5, 6, 7]
    assert query.columns.segment[:, 10:].tolist() == [[0] * 4, [1, 1, 1, -1]]
    assert (query.columns.stream[:, 10:] == SHADOW).all()
    # Places 0 and 2 of each block are written: they are asked at their shadows, places 1 and 3 where they stand.
    assert at == [(0, 3), (0, 4), (0, 5), (0, 6), (1, 5), (1, 6), (1, 7)]
    assert queried.tolist() == [[0, 10], [0, 4], [0, 12], [0, 6], [1, 10], [1, 6], [1, 12]]
    (query, queried), at = asked_of(state, Hash(), rows=(1,))
    assert queried.tolist() == [[0, 10], [0, 6], [0, 12]]


@pytest.mark.parametrize("rule", [None, BlockCausal()], ids=["bidirectional", "block-causal"])
def test_who_sees_whom(rule):
    """Normal columns see no shadow; the shadow of place 2 sees what column 2 sees but itself, and other shadows."""
    model = Hash() if rule is None else Hash(rule=rule)
    state = half_written()
    (query, _), _ = asked_of(state, model)
    seen = may_attend(query.rule, query.columns, query.columns)[0]
    plain, _ = VIEWS["canvas"]().query(model, state, torch.tensor([0, 1]), torch.tensor([[0, 3]]))
    allowed = may_attend(plain.rule, plain.columns, plain.columns)[0]
    assert torch.equal(seen[:10, :10], allowed)
    assert not seen[:10, 10:].any()
    for place in range(4):
        expected = allowed[3 + place].clone()
        expected[3 + place] = False
        assert torch.equal(seen[10 + place, :10], expected)
        assert seen[10 + place, 10:].all()


@pytest.mark.parametrize("attention", ["bidirectional", "block_causal"])
def test_a_real_model_answers_alike_beside_shadows(attention):
    """And what it says at a shadow does not depend on the token that stands there, if nobody else has read it."""
    spec = ScratchSpec(architecture="llama", hidden_size=32, layers=1, heads=4, kv_heads=2, init_std=0.5, seed=1)
    lm = from_scratch(spec, shift=False, attention=attention)
    state = half_written(mask_id=lm.mask_id)
    (query, queried), at = asked_of(state, lm)
    plain, _ = VIEWS["canvas"]().query(lm, state, torch.tensor([0, 1]), torch.tensor(at))
    everywhere = (plain.columns.segment >= 0).nonzero()
    with torch.no_grad():
        torch.testing.assert_close(lm.logits(query, everywhere), lm.logits(plain, everywhere), atol=1e-5, rtol=1e-5)
        before = lm.logits(query, queried)
        ids = query.ids.clone()
        ids[0, 3] = 11
        after = lm.logits(replace(query, ids=ids), queried)
    torch.testing.assert_close(after[0], before[0])  # with one layer, no other column has passed it on
    assert (after[1] - before[1]).abs().max() > 1e-3
    assert (after[2] - before[2]).abs().max() > 1e-3


def test_a_real_model_is_decoded():
    spec = ScratchSpec(architecture="llama", hidden_size=32, layers=2, heads=4, kv_heads=2, init_std=0.5, seed=1)
    lm = from_scratch(spec, shift=False, attention="bidirectional")
    examples = [Example(prompt=p, answer=(), order=o, canvas=16) for o, p in enumerate([[1, 2, 3], [4]])]
    batch = lay_out(examples, block_size=16, filler_id=9)
    with torch.no_grad():
        steps = list(decode(lm, batch, Decoder(block_size=16, stop="never", **BOLD).resolve(), draws=Draws(seed=0)))
    assert any(len(step.taken_back) for step in steps)
    assert not steps[-1].state.is_open.any()
