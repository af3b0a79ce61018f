"""Nucleus, top-k, and LLaDA's two ways of holding end tokens back."""

import pytest
import torch
from places import trace

from toys import EndFirst, Hash
from unmask.core.random import Draws
from unmask.decoding import Greedy, Gumbel, LateEos, NoEos, Nucleus, TopK
from unmask.decoding.proposals.truncated import keep_mass, keep_number
from unmask.errors import UserError

LOGITS = torch.log(torch.tensor([[0.1, 0.4, 0.3, 0.2]], dtype=torch.float64))
KEYS = tuple(torch.zeros(1, dtype=torch.int64) for _ in range(3))


def kept(logits):
    return [row.isfinite().nonzero().flatten().tolist() for row in logits]


@pytest.mark.parametrize(
    ("mass", "tokens"),
    [(0.01, [1]), (0.39, [1]), (0.41, [1, 2]), (0.69, [1, 2]), (0.71, [1, 2, 3]), (0.95, [0, 1, 2, 3])],
)
def test_the_nucleus_is_the_fewest_tokens_that_reach_the_mass(mass, tokens):
    assert kept(keep_mass(LOGITS, mass)) == [tokens]


def test_numbers_and_ties_and_bans():
    assert kept(keep_number(LOGITS, 2)) == [[1, 2]]
    assert kept(keep_number(torch.zeros(1, 4), 2)) == [[0, 1]]
    assert kept(keep_mass(torch.zeros(1, 4), 0.5)) == [[0, 1]]
    assert kept(keep_number(LOGITS, 9)) == [[0, 1, 2, 3]]
    banned = LOGITS.index_fill(1, torch.tensor([1]), -torch.inf)  # left: 1/6, 1/2, 1/3
    assert kept(keep_mass(banned, 0.6)) == [[2, 3]]


def test_temperature_comes_before_the_filter_and_mass_before_number():
    hot = Nucleus(temperature=1e6, top_p=0.6, scores="shaped").shape(LOGITS, ())  # uniform: three reach .6
    assert kept(hot) == [[1, 2, 3]]
    both = Nucleus(top_p=0.71, top_k=2, scores="shaped").shape(LOGITS, ())
    assert kept(both) == [[1, 2]]


def samples(proposal, logits, draws=4000):
    keys = (torch.arange(draws), torch.zeros(draws, dtype=torch.int64), torch.zeros(draws, dtype=torch.int64))
    shaped = proposal.shape(logits.repeat(draws, 1), (9,))
    return torch.bincount(proposal.propose(shaped, Draws(seed=1), keys), minlength=4)


@pytest.mark.parametrize("scores", ["model", "shaped"])
@pytest.mark.parametrize(
    ("make", "fields", "weights"),
    [
        (Nucleus, {"top_p": 0.75, "temperature": 0.5}, [0, 0.16, 0.09, 0.0]),  # squares; .16 + .09 of .3 reach .75
        (TopK, {"top_k": 3, "temperature": 1.0}, [0, 0.4, 0.3, 0.2]),
    ],
)
def test_samples_follow_what_is_left(scores, make, fields, weights):
    counted = samples(make(scores=scores, **fields), LOGITS)
    weights = torch.tensor(weights)
    expected = weights / weights.sum() * 4000
    assert (counted[expected == 0] == 0).all()
    inside = expected > 0
    assert ((counted - expected)[inside] ** 2 / expected[inside]).sum() < 13.8  # 2 degrees of freedom, p = 0.001


def test_neutral_settings_are_gumbel_and_greedy():
    gumbel = trace(proposal={"name": "gumbel", "temperature": 0.7})
    assert trace(proposal={"name": "nucleus", "temperature": 0.7, "top_p": 1}) == gumbel
    assert trace(proposal={"name": "top_k", "temperature": 0.7, "top_k": 99}) == gumbel
    for name in ("nucleus", "top_k"):
        assert trace(proposal={"name": name, "temperature": 0}) == trace()
    assert trace(proposal={"name": "top_k", "top_k": 1}) == trace()
    assert trace(proposal={"name": "late_eos", "ids": []}) == trace()
    assert trace(proposal={"name": "late_eos", "inner": {"name": "gumbel", "temperature": 0.7}, "ids": []}) == gumbel


def test_they_differ():
    assert trace(proposal={"name": "nucleus", "top_p": 0.5}) != trace(proposal="gumbel")
    assert trace(proposal={"name": "top_k", "top_k": 2}) != trace(proposal="gumbel")
    shaped = {"name": "nucleus", "temperature": 0, "top_p": 0.2, "scores": "shaped"}
    assert trace(proposal=shaped, blocks="whole") != trace(blocks="whole")


def test_scores_see_the_filter_only_if_asked_to():
    """Of a nucleus of one token the probability is 1: with shaped scores, all of a block passes at once."""
    shaped = {"name": "nucleus", "temperature": 0, "top_p": 0.01, "scores": "shaped"}
    assert len(trace(proposal=shaped, threshold=0.99)) == 4
    assert trace(proposal={**shaped, "scores": "model"}, threshold=0.99) == trace(threshold=0.99)


def test_no_end_token_is_proposed_and_scores_leave_it_out():
    assert any(9 in tokens for _, tokens, _ in trace(model=EndFirst()))
    for inner in ("greedy", "gumbel"):
        steps = trace(model=EndFirst(), proposal={"name": "no_eos", "inner": inner})
        assert not any(9 in tokens for _, tokens, _ in steps)
    banned = NoEos(ids=(1,)).shape(LOGITS, (0,))
    assert kept(banned) == [[0, 2, 3]]
    assert NoEos(ids=(1,)).scores_shaped
    assert kept(NoEos().shape(LOGITS, (0, 1))) == [[2, 3]]
    inside = NoEos(inner=Nucleus(top_p=0.6, scores="shaped")).shape(LOGITS, (1,))
    assert kept(inside) == [[2, 3]]


def test_end_tokens_are_written_last_of_their_block():
    score = torch.tensor([0.9, 0.2, 0.95, 0.1])
    ranked = LateEos().rank(score, torch.tensor([9, 1, 9, 2]), (9,))
    assert ranked.argsort(descending=True).tolist() == [1, 3, 2, 0]
    steps = trace(model=EndFirst(), proposal="late_eos", prompts=[(1,)], blocks="whole")
    is_end = [tokens == [9] for _, tokens, _ in steps]
    assert True in is_end
    assert is_end == sorted(is_end)
    assert trace(model=EndFirst(), blocks="whole") != trace(model=EndFirst(), proposal="late_eos", blocks="whole")


def test_where_everything_waits_the_best_is_still_written():
    class Ends(Hash):
        def predict(self, query, query_positions):
            out = super().predict(query, query_positions)
            out[:, 9] = 50.0
            return out

    for inner in ("greedy", "gumbel"):
        steps = trace(model=Ends(), proposal={"name": "late_eos", "inner": inner}, threshold=0.0)
        assert {token for _, tokens, _ in steps for token in tokens} == {9}


def test_low_ranks_stay_below_an_entropy():
    ranked = LateEos().rank(torch.tensor([-0.0, -12.0]), torch.tensor([9, 1]), (9,))
    assert ranked[0] < ranked[1]


def test_so_they_do_below_the_surprise_of_a_rare_word():
    """-ln f of a token seen once among a trillion is 27.6; without a clip an end token would come first by it."""
    counts = {"frequencies": {9: 1, 3: 10**12}, "clip": float("inf"), "decay": 0}
    options = {"selection": {"name": "pc_sampler", **counts}, "blocks": "whole", "prompts": [(1,)]}
    steps = trace(model=EndFirst(), proposal="late_eos", **options)
    is_end = [tokens == [9] for _, tokens, _ in steps]
    assert True in is_end
    assert is_end == sorted(is_end)


def test_greedy_and_gumbel_change_nothing_else():
    for proposal in (Greedy(), Gumbel()):
        assert proposal.shape(LOGITS, (9,)) is LOGITS
        assert not proposal.scores_shaped
        assert torch.equal(proposal.rank(LOGITS[0], torch.arange(4), (0,)), LOGITS[0])


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (Nucleus, {"top_p": 0}),
        (Nucleus, {"top_p": 1.1}),
        (Nucleus, {"temperature": -1}),
        (Nucleus, {"scores": "both"}),
        (TopK, {"top_k": 0}),
        (NoEos, {"inner": "gready"}),
        (LateEos, {"ids": [1.5]}),
    ],
)
def test_bad_fields_are_refused(make, fields):
    with pytest.raises(UserError):
        make(**fields)
