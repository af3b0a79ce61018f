"""ReMDM: the posterior, its bound, and marginals that re-masking leaves as they are."""

import math
from dataclasses import replace

import pytest
import torch
from places import MASK, places, state_of, trace

from toys import Table
from unmask.decoding import REVISIONS, SELECTIONS, Decoder
from unmask.decoding.revision.remdm import Remasking, bound, chance_to_write
from unmask.errors import UserError


def levels(*, number=200, seed=0):
    """Random (alpha_s, alpha_t, sigma) with alpha_t < alpha_s and sigma up to its bound."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(3, number, generator=generator, dtype=torch.float64)
    alpha_t, alpha_s = drawn[:2].sort(0).values
    return alpha_s, alpha_t, drawn[2] * bound(alpha_s, alpha_t)


def test_probabilities_are_probabilities():
    """Of a step for a written token (sigma, 1 - sigma) and an open place (written, left open)."""
    alpha_s, alpha_t, sigma = levels()
    write = chance_to_write(alpha_s, alpha_t, sigma)
    stay = (1 - alpha_s - sigma * alpha_t) / (1 - alpha_t)
    torch.testing.assert_close(write + stay, torch.ones_like(write))
    for chance in (write, stay, sigma):
        assert ((chance >= -1e-12) & (chance <= 1 + 1e-12)).all()


def test_the_bound_is_tight():
    """At the bound, where it is below 1, an open place is written for sure; above it the chance exceeds 1."""
    alpha_s, alpha_t, _ = levels()
    highest = bound(alpha_s, alpha_t)
    is_below = highest < 1
    assert is_below.any()
    assert (~is_below).any()
    write = chance_to_write(alpha_s, alpha_t, highest)[is_below]
    torch.testing.assert_close(write, torch.ones_like(write))
    assert (chance_to_write(alpha_s, alpha_t, highest + 0.01)[is_below] > 1).all()


def test_a_step_keeps_the_marginal_for_any_sigma():
    """alpha_t sigma + (1 - alpha_t)(1 - chance) = 1 - alpha_s."""
    alpha_s, alpha_t, sigma = levels()
    hidden = alpha_t * sigma + (1 - alpha_t) * (1 - chance_to_write(alpha_s, alpha_t, sigma))
    torch.testing.assert_close(hidden, 1 - alpha_s)


FINE = 2000
GRID = [(i + 0.5) / FINE for i in range(FINE)]
SCHEDULES = [
    {"eta": 0},
    {"eta": 0.3},
    {"strategy": "rescale", "eta": 0.7},
    {"strategy": "loop", "eta": 0.1},
    {"strategy": "loop", "t_on": 0.6, "t_off": 0.3, "alpha_on": 0.5, "eta": 1},
]


def rates(fields, step, steps):
    """How likely the parts write an open place, and take a written one back: their coins over evenly spaced numbers."""
    candidates = places(
        [0.5] * 2 * FINE, closed=range(FINE, 2 * FINE), correctness=[0.0] * 2 * FINE, steps_done=step, steps=steps,
        random=GRID * 2,
    )  # fmt: skip
    chosen = SELECTIONS["remdm"](**fields).select(replace(candidates, steps=steps))
    change = REVISIONS["remdm"](**fields).revise(state_of(), candidates, chosen)
    assert torch.equal(change.write, chosen)
    return chosen[0, :FINE].double().mean().item(), change.hide[0, FINE:].double().mean().item()


@pytest.mark.parametrize("fields", SCHEDULES, ids=str)
@pytest.mark.parametrize("steps", [1, 8, 20])
def test_selection_and_revision_together_keep_the_marginal(fields, steps):
    schedule = Remasking(**fields)
    alpha = [float(schedule.alpha(torch.tensor(k / steps, dtype=torch.float64))) for k in range(steps + 1)]
    assert alpha[0] == 0
    assert alpha[-1] == 1
    taken = 0.0
    for step in range(steps):
        write, hide = rates(fields, step, steps)
        hidden = alpha[step] * hide + (1 - alpha[step]) * (1 - write)
        assert hidden == pytest.approx(1 - alpha[step + 1], abs=1 / FINE)
        taken += hide
    assert write == 1  # the last step writes all
    assert hide == 0
    assert (taken > 0) == (fields.get("eta") != 0 and steps > 1)


@pytest.mark.parametrize("step", range(5))
def test_without_sigma_it_is_the_plain_posterior(step):
    """In five steps the share of the open places that is written is 1/5, 1/4, 1/3, 1/2, 1."""
    write, hide = rates({"eta": 0}, step, 5)
    assert write == pytest.approx(1 / (5 - step), abs=1 / FINE)
    assert hide == 0


def test_strategies_by_hand():
    """From 1/4 to 1/2 written the bound is 1 (2/4 over 1/4 is more); from 3/4 to 7/8 it is 1/6."""

    def sigma(before, after, **fields):
        return float(Remasking(**fields).sigma(torch.tensor([before]), torch.tensor([after])))

    assert sigma(0.25, 0.5) == pytest.approx(0.008)
    assert sigma(0.25, 0.5, eta=1) == 1
    assert sigma(0.75, 0.875, eta=1) == pytest.approx(1 / 6)
    assert sigma(0.75, 0.875, eta=0.1) == pytest.approx(0.1)
    assert sigma(0.75, 0.875, strategy="rescale") == pytest.approx(0.015 / 6)
    assert sigma(0.75, 0.875, strategy="conf") == pytest.approx(1 / 6)
    assert sigma(0.75, 1.0, eta=1) == 0
    assert [sigma(t, t + 0.01, strategy="loop") for t in (0.3, 0.46, 0.9, 0.96)] == pytest.approx([0, 0.02, 0.02, 0])


def test_the_loop_by_hand():
    """It rises to alpha_on at t_on = 0.55, stays until t_off = 0.05, and rises to 1."""
    progress = torch.tensor([0, 0.225, 0.45, 0.7, 0.95, 0.975, 1], dtype=torch.float64)
    alpha = Remasking(strategy="loop").alpha(progress)
    assert alpha.tolist() == pytest.approx([0, 0.45, 0.9, 0.9, 0.9, 0.95, 1])
    # Meanwhile sigma alpha / (1 - alpha) of the open places are written: 0.18 at eta 0.02.
    write, hide = rates({"strategy": "loop"}, 60, 100)
    assert (write, hide) == (pytest.approx(0.18, abs=1 / FINE), pytest.approx(0.02, abs=1 / FINE))


def test_shares_of_conf_by_hand():
    """Tokens that were written with .9, .5 and .1: softmax of minus these; at 3 of 4 steps the bound is 1/3."""
    was = [0.9, 0.5, 0.1]
    weight = [math.exp(-p) for p in was]
    shares = [w / sum(weight) / 3 for w in weight]
    state = state_of([*(math.log(p) for p in was), 0.0])
    for slack, expected in ((-1e-6, [0, 1, 2]), (1e-6, [])):
        drawn = [*(share + slack for share in shares), 0]
        candidates = places([0.5] * 4, closed=[0, 1, 2], correctness=[0.0] * 4, steps_done=2, steps=4, random=drawn)
        # From 1/2 to 3/4 written: bound (1 - 3/4) / (1/2) = 1/2; two thirds of it are 1/3.
        change = REVISIONS["remdm"](strategy="conf", eta=2 / 3).revise(
            state, candidates, torch.zeros(1, 4, dtype=torch.bool)
        )
        assert change.hide[0].nonzero().flatten().tolist() == expected


OFTEN = {"revision": {"name": "remdm", "eta": 0.4}, "blocks": "whole", "steps": 8}


def test_many_rows_are_filled_by_the_clock():
    """200 rows of 16: after k of 8 steps k/8 is written (3200 places: a deviation of 0.045 is five sigma)."""
    steps = trace(OFTEN, model=Table(), prompts=[(1,)] * 200)
    written = 0
    for number, (write, _, back) in enumerate(steps, 1):
        written += len(write) - len(back)
        assert written / 3200 == pytest.approx(number / 8, abs=0.045)
    assert written == 3200
    assert len(steps) == 8
    assert sum(len(back) for _, _, back in steps) > 500


def test_a_block_takes_its_steps_though_it_may_be_full():
    """All but the last, which takes nothing back."""
    for seed in range(4):
        assert len(trace({**OFTEN, "steps": 30}, prompts=[(1,)], seed=seed)) in (29, 30)
        assert len(trace({"revision": {"name": "remdm", "eta": 0.4}, "threshold": 0, "block_size": 16}, seed=seed)) > 8


def test_nothing_taken_back_is_the_selection_alone():
    for strategy in ("cap", "rescale", "conf", "loop"):
        neutral = {"name": "remdm", "strategy": strategy, "eta": 0}
        alone = trace({"selection": neutral, "blocks": "whole"})
        assert trace({"revision": neutral, "blocks": "whole"}) == alone
        assert trace({"revision": neutral, "selection": "quota"}) == trace()
    assert alone != trace({"blocks": "whole"}) != trace({**OFTEN, "steps": None})


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(UserError, match="t_off=0.5 after t_on=0.4"):
        Remasking(t_on=0.4, t_off=0.5)
    revision = {"name": "remdm", "eta": 0.1}
    with pytest.raises(UserError, match="selection 'remdm' beside the revision of that name: expected the same"):
        Decoder(revision=revision, selection="remdm").resolve()
    for given in (revision, None):
        assert Decoder(revision=revision, selection=given).resolve().selection == SELECTIONS["remdm"](eta=0.1)
    assert Decoder(revision=revision, selection="quota").resolve().selection.name == "quota"


def revised(probabilities, *, closed, memory=None, chosen=(), **fields):
    """What ``remdm_rounds`` does: ``probabilities`` of the token 0 that stands at each place."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    logits = torch.full((len(p), MASK + 1), -1e9, dtype=torch.float64)
    logits[:, 0], logits[:, 1] = p.log(), (1 - p).log()
    candidates = places(probabilities, closed=closed, correctness=[0.0] * len(p), logits=logits.tolist(), memory=memory)
    is_chosen = torch.zeros_like(candidates.is_open)
    is_chosen[0, list(chosen)] = True
    change = REVISIONS["remdm_rounds"](**fields).revise(state_of(), candidates, is_chosen)
    found = tuple(done[0].nonzero().flatten().tolist() for done in (change.write, change.hide))
    return found, candidates.memory.written(1)


def test_rounds_by_hand():
    """Half of four places starts them; a round takes the least likely back and writes; then all is as ever."""
    now, fields = [0.9, 0.2, 0.6, 0.5], {"start": 0.5, "rounds": 1}
    first, memory = revised(now, closed=[0], chosen=[1], **fields)
    assert first == ([1], [])
    second, memory = revised(now, closed=[0, 1], chosen=[2], memory=memory, **fields)
    assert second == ([], [1])
    third, memory = revised(now, closed=[0], chosen=[3], memory=memory, **fields)
    assert third == ([3], [])
    fourth, _ = revised(now, closed=[0, 3], chosen=[2], memory=memory, **fields)
    assert fourth == ([2], [])


def test_rounds_cost_two_forwards_each():
    """16 tokens one by one, and 3 rounds of two; 14 stand (0.875) when they begin."""
    steps = trace({"revision": {"name": "remdm_rounds", "rounds": 3}, "blocks": "whole"}, prompts=[(1,)])
    assert len(steps) == 16 + 6
    assert [i for i, (_, _, back) in enumerate(steps) if back] == [14, 16, 18]
    assert all(len(back) == 1 and not write for write, _, back in steps[14:20:2])
    late = trace({"revision": {"name": "remdm_rounds", "rounds": 2, "start": 1, "number": 3}}, prompts=[(1,)], length=4)
    assert [len(back) for _, _, back in late] == [0, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0]  # quota writes one again
    assert trace({"revision": {"name": "remdm_rounds", "rounds": 0}}) == trace()
