"""Particles: who waits, who is drawn anew, who is kept."""

import math
from dataclasses import replace

import pytest
import torch

from toys import EndFirst, Hash, Table
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import BestOf, Decoder, Smc, decode
from unmask.decoding.loop import start
from unmask.decoding.search.group import answer_log_prob, likeliest
from unmask.decoding.search.smc import inverse

PROMPTS = [[1, 2, 3], [4]]
SAMPLED = {"temperature": 1.0, "threshold": 0.3}


def rows(prompts=PROMPTS, particles=1, length=12, keys=None):
    keys = keys or [100 * number + particle for number in range(len(prompts)) for particle in range(particles)]
    repeated = [prompt for prompt in prompts for _ in range(particles)]
    examples = [Example(prompt=p, answer=(), order=k, canvas=length) for p, k in zip(repeated, keys, strict=True)]
    return lay_out(examples, block_size=4, filler_id=9)


def run(search, *, particles=1, batch=None, model=None, seed=0, **fields):
    batch = batch or rows(particles=particles)
    resolved = Decoder(**{"block_size": 4, "stop": "never", **SAMPLED, **fields}, search=search).resolve()
    return batch, resolved, list(decode(model or Hash(), batch, resolved, draws=Draws(seed=seed)))


def smc(particles=3, **fields):
    return {"name": "smc", "particles": particles, **fields}


def weighing(state, weights):
    """Particles that have written nothing, and whose log weights are these all the same."""
    return replace(state, log_resampled=-torch.tensor(list(weights), dtype=torch.float64))


@pytest.mark.parametrize("name", ["smc", "best_of"])
@pytest.mark.parametrize("fields", [{}, {"temperature": 0.0}, {"revision": "edit"}])
def test_one_particle_is_no_search(name, fields):
    _, _, plain = run("none", **fields)
    _, _, steps = run({"name": name, "particles": 1}, **fields)
    assert len(plain) == len(steps)
    for ours, theirs in zip(steps, plain, strict=True):
        assert torch.equal(ours.state.ids, theirs.state.ids)


def test_never_resampled_particles_are_independent_samples():
    """Waiting for one another changes the number of a forward and so the draws; not in the first block."""
    _, _, alone = run("none", particles=3)
    _, _, best = run({"name": "best_of", "particles": 3}, particles=3)
    assert torch.equal(alone[-1].state.ids, best[-1].state.ids)
    batch, _, steps = run(smc(resample_below=0), particles=3)
    assert all(step.picked is None for step in steps)
    first = batch.offset < 4
    assert torch.equal(steps[-1].state.ids[first], alone[-1].state.ids[first])


def test_a_dominant_weight_is_copied_and_equal_weights_are_left_alone():
    state = start(rows(particles=3), 10)
    met = torch.ones(6, dtype=torch.bool)
    state = weighing(state, [0.0, 100.0, 0.0, -5.0, -5.0, -5.0])
    index, is_context = Smc(particles=3).pick(state, met, Draws(seed=1), index=4, eos_ids=(9,))
    assert index.tolist() == [1, 1, 1, 3, 4, 5]
    assert is_context.tolist() == [0.0, 0.0, 0.0, 5.0, 5.0, 5.0]  # the first three begin anew, at what they have now
    even = weighing(state, [0.0] * 6)
    for below in (0.5, 1):
        search = Smc(particles=3, resample_below=below)
        assert search.pick(even, met, Draws(seed=1), index=4, eos_ids=(9,)) is None
    assert Smc(particles=3).pick(state, ~met, Draws(seed=1), index=4, eos_ids=(9,)) is None


def test_the_effective_sample_size_decides():
    """Weights .7, .1, .1, .1: 1 / (.49 + .03) = 1.923 of four particles."""
    state = start(rows([[1]], particles=4), 10)
    state, met = weighing(state, map(math.log, (0.7, 0.1, 0.1, 0.1))), torch.ones(4, dtype=torch.bool)
    below = 1.923 / 4
    assert Smc(particles=4, resample_below=below - 0.001).pick(state, met, Draws(seed=0), index=0, eos_ids=(9,)) is None
    assert (
        Smc(particles=4, resample_below=below + 0.001).pick(state, met, Draws(seed=0), index=0, eos_ids=(9,))
        is not None
    )


def test_particles_are_drawn_by_their_weights():
    weight = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    points = torch.tensor([[0.0, 0.19, 0.2, 0.69, 0.7, 0.999999]], dtype=torch.float64)
    assert inverse(weight, points).tolist() == [[0, 0, 1, 1, 2, 2]]
    state = start(rows([[1]], particles=3), 10)
    state, met = weighing(state, weight[0].log().tolist()), torch.ones(3, dtype=torch.bool)
    counts, search = torch.zeros(3), Smc(particles=3, resample_below=1)
    for index in range(2000):
        counts += torch.bincount(search.pick(state, met, Draws(seed=0), index=index, eos_ids=(9,))[0], minlength=3)
    expected = 6000 * weight[0]
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 13.8  # 0.1 % quantile, two degrees of freedom


def test_a_prompts_particles_wait_for_the_slowest_and_others_do_not():
    search = Smc(particles=2)
    full = torch.tensor([True, False, True, False, True, True])
    done = torch.tensor([False, False, False, True, False, False])
    assert search.is_met(full, done).tolist() == [False, False, True, True, True, True]
    nobody = torch.zeros(6, dtype=torch.bool)
    assert not search.is_met(nobody, ~nobody).any()


def test_waiting_rows_are_not_read_and_blocks_begin_together():
    batch, _, steps = run(smc(), particles=3)
    waited = False
    for step in steps:
        state = step.state
        live = set(step.live.tolist())
        assert len(live) <= 6
        for group in (slice(0, 3), slice(3, 6)):
            assert len(set(state.block_start[group].tolist())) == 1
        waited |= bool(state.is_waiting.any())
    for before, after in zip(steps, steps[1:], strict=False):
        idle = before.state.is_waiting | before.state.is_done
        assert set(after.live.tolist()) == set((~idle).nonzero().flatten().tolist())
    assert waited
    assert not steps[-1].state.is_open.any()


def test_the_trace_tells_who_continues_whom_and_the_sums_are_those_of_the_trace():
    """Replayed with its resamplings, the trace gives the final text and its log probability."""
    resampled = False
    for seed in range(6):
        batch, _, steps = run(smc(resample_below=1), particles=3, seed=seed)
        text = [{} for _ in range(6)]
        for step in steps:
            for (row, offset), token, p in zip(
                step.at.tolist(), step.tokens.tolist(), step.probabilities.tolist(), strict=True
            ):
                text[row][offset] = (token, math.log(p))
            if step.picked is not None:
                resampled = True
                text = [dict(text[row]) for row in step.picked.tolist()]
        state = steps[-1].state
        for row in range(6):
            ids = state.ids[row][batch.offset[row] >= 0].tolist()
            assert [text[row][offset][0] for offset in range(12)] == ids
            total = sum(log_p for _, log_p in text[row].values())
            assert float(state.log_prob[row].sum()) == pytest.approx(total, abs=1e-9)
        assert torch.equal(state.ids[~batch.is_canvas], batch.ids[~batch.is_canvas])
    assert resampled


def test_a_prompts_particles_do_not_depend_on_the_other_prompts():
    keys = [0, 1, 2, 100, 101, 102]
    _, _, both = run(smc(resample_below=1), particles=3)
    for number, prompt in enumerate(PROMPTS):
        own = slice(3 * number, 3 * number + 3)
        batch = rows([prompt], 3, keys=keys[own])
        _, _, alone = run(smc(resample_below=1), batch=batch)
        width = alone[-1].state.ids.shape[1]
        assert torch.equal(both[-1].state.ids[own, :width], alone[-1].state.ids)


def test_a_particle_that_ended_may_be_continued_and_may_continue_others():
    ended = taken = 0
    for seed in range(12):
        _, _, steps = run(smc(resample_below=1), particles=3, seed=seed, stop="eos", model=EndFirst(), temperature=3.0)
        for before, after in zip(steps, steps[1:], strict=False):
            ended += int(after.state.is_done.sum()) > 0
            if after.picked is not None:
                taken += bool((before.state.is_done & ~after.state.is_done).any())
        assert steps[-1].state.is_done.all()
    assert ended
    assert taken


def test_what_stands_after_the_end_does_not_count():
    """Two answers, one of which ends at offset 1."""
    state = start(rows([[1]], particles=2, length=4), 10)
    ids = state.ids.clone()
    ids[0, 1:], ids[1, 1:] = torch.tensor([3, 9, 3, 3]), torch.tensor([3, 3, 3, 3])
    log_prob = torch.zeros_like(ids, dtype=torch.float64)
    log_prob[0, 1:] = torch.tensor([-1.0, -1.0, -9.0, -9.0])
    log_prob[1, 1:] = torch.tensor([-0.9, -0.9, -0.9, -0.9])
    state = replace(state, ids=ids, log_prob=log_prob, is_open=torch.zeros_like(state.is_open))
    assert answer_log_prob(state, (9,), "sum").tolist() == pytest.approx([-2.0, -3.6])
    assert answer_log_prob(state, (9,), "mean").tolist() == pytest.approx([-1.0, -0.9])
    assert likeliest(state, (9,), 2, "sum").tolist() == [0]
    assert likeliest(state, (9,), 2, "mean").tolist() == [1]
    assert BestOf(particles=2).best(state, (9,)).tolist() == [1]
    assert Smc(particles=2).best(state, (9,)).tolist() == [0]
    assert likeliest(replace(state, log_prob=0 * log_prob), (9,), 2, "sum").tolist() == [0]
    # Of what a particle is weighed by, neither: e^-2 and e^-3.6 are .83 and .17, and 1 / sum w^2 is 1.39 of two.
    met = torch.ones(2, dtype=torch.bool)
    for below, resamples in ((0.68, False), (0.7, True)):
        search = Smc(particles=2, resample_below=below)
        assert (search.pick(state, met, Draws(seed=0), index=0, eos_ids=(9,)) is not None) is resamples


def test_what_was_taken_back_does_not_count():
    """The weights before the first resampling are those of the answers as they stand, whatever was revised."""
    _, resolved, steps = run(smc(resample_below=0), particles=3, revision={"name": "edit", "threshold": 0.1})
    assert any(len(step.taken_back) for step in steps)
    state = steps[-1].state
    assert torch.equal(answer_log_prob(state, (), "sum") - state.log_resampled, state.log_prob.sum(1))


def test_between_given_tokens_every_gap_ends_by_itself():
    """Gaps at 0 to 1 and 3 to 5; the first ends at once, the second at its second token."""
    batch = rows([[1]], length=6)
    is_ours = batch.is_canvas & (batch.offset != 2)
    state = start(batch, 10, is_ours)
    ids, log_prob = state.ids.clone(), torch.zeros_like(state.ids, dtype=torch.float64)
    ids[0, 1:] = torch.tensor([9, 3, 9, 3, 9, 3])
    log_prob[0, 1:] = torch.tensor([-1.0, -20.0, 0.0, -2.0, -4.0, -50.0])
    state = replace(state, ids=ids, log_prob=log_prob, is_open=torch.zeros_like(state.is_open))
    assert answer_log_prob(state, (9,), "sum").tolist() == [-7.0]
    assert answer_log_prob(state, (9,), "mean").tolist() == [pytest.approx(-7 / 3)]


def test_more_particles_find_likelier_texts():
    """On a table the best text is the argmax everywhere: the more samples, the nearer to it."""
    found = []
    for particles in (1, 4, 16):
        totals = []
        for seed in range(20):
            _, resolved, steps = run(
                {"name": "best_of", "particles": particles}, batch=rows([[1]], particles), model=Table(), seed=seed
            )
            state = steps[-1].state
            best = resolved.search.best(state, (9,))
            totals.append(float(answer_log_prob(state, (9,), "mean")[best]))
        found.append(sum(totals) / len(totals))
    assert found == sorted(found)


@pytest.mark.parametrize("cache", ["none", "block", "prefix", "dual"])
def test_caches_follow_the_particles(cache):
    """Exact caches give the same text as none; approximate ones end in order."""
    from unmask.core.attention import BlockCausal

    model = Hash()
    model.rule = BlockCausal()
    _, _, plain = run(smc(resample_below=1), particles=3, model=model)
    _, _, cached = run(smc(resample_below=1), particles=3, model=model, cache=cache)
    assert any(step.picked is not None for step in cached)
    assert torch.equal(plain[-1].state.ids, cached[-1].state.ids)


@pytest.mark.parametrize("toy", ["plain", "shifted"])
@pytest.mark.parametrize("stop", ["never", "eos"])
def test_the_exact_cache_follows_particles_that_wait(toy, stop):
    """Rows leave and come back: what was kept for them, a shifted model's first predictions too, is made anew."""
    from test_caching import ShiftedHash

    from unmask.core.attention import BlockCausal

    waited = False
    for seed in range(4):
        found = []
        for cache in ("none", "block"):
            model = ShiftedHash(rule=BlockCausal(), shift=True) if toy == "shifted" else Hash(rule=BlockCausal())
            _, _, steps = run(smc(resample_below=1), particles=3, model=model, cache=cache, seed=seed, stop=stop)
            waited |= any(bool(step.state.is_waiting.any()) for step in steps)
            found.append(steps[-1].state.ids)
        assert torch.equal(*found)
    assert waited


@pytest.mark.parametrize("fields", [
    {"selection": {"name": "klass", "threshold": 0.05, "drift": 2.0, "calm": 1}},
    {"selection": {"name": "credit", "threshold": 0.3, "alpha": 3.0}},
], ids=["klass", "credit"])  # fmt: skip
def test_what_is_remembered_of_a_prompt_outlasts_the_resampling_of_another(fields):
    keys = list(range(6))
    for seed in range(4):
        options = {"temperature": 1.0, "threshold": None, "seed": seed, **fields}
        batch = rows([[1, 2, 3], [4]], 3, keys=keys)
        _, _, both = run(smc(resample_below=1), batch=batch, **options)
        for number, prompt in enumerate([[1, 2, 3], [4]]):
            own = slice(3 * number, 3 * number + 3)
            _, _, alone = run(smc(resample_below=1), batch=rows([prompt], 3, keys=keys[own]), **options)
            width = alone[-1].state.ids.shape[1]
            assert torch.equal(both[-1].state.ids[own, :width], alone[-1].state.ids)
