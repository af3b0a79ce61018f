"""Fast-dLLM v2: two views that supervise every response token once, without 1/t."""

import pytest
import torch
from texts import M, ask, lay, places, tiny

from toys import Uniform
from unmask.core.attention import CLEAN, OPEN
from unmask.objectives import BlockDiffusion, Complementary, FastDllmV2


def test_by_hand():
    """Blocks of 2 at t = .5 and .3; the first view hides what is drawn, the second the rest."""
    batch = lay((1, 4), block=2)
    ids = batch.ids[0].tolist()
    n = ask(FastDllmV2(block_size=2, eps=1e-9), batch, t=[0.5, 0.3], mask=[[0.0, 0.4, 0.6, 0.4, 0.2]])
    assert n.query.ids.tolist() == [[*ids[:3], M, ids[2], ids[3], M], [*ids[:3], ids[1], M, M, ids[4]]]
    assert n.query_positions.tolist() == [[0, 3], [0, 6], [1, 4], [1, 5]]
    assert n.targets.tolist() == [ids[1], ids[4], ids[2], ids[3]]
    assert n.weight.tolist() == [1, 1, 1, 1]
    assert float(n.count) == 4
    assert n.noise_level.tolist() == pytest.approx([0.5, 0.3, 0.5, 0.7])


def test_states_that_predict_by_hand():
    """A shifted model reads the first token of the second block off the clean text, or off the noisy block before."""
    batch = lay((1, 4), block=2)
    recorded = {"t": [1.0, 1.0], "mask": [[0.0] * 5]}
    for first_from, states in (("clean", [0, 3, 2, 5]), ("noisy", [0, 3, 4, 5])):
        n = ask(FastDllmV2(block_size=2, first_from=first_from), batch, tiny("llama-shifted"), **recorded)
        assert n.query_positions.tolist() == [[0, c] for c in (3, 4, 5, 6)]
        assert n.query.before[0, n.query_positions[:, 1]].tolist() == states
        assert n.query.columns.stream[0].tolist() == [CLEAN] * 3 + [OPEN] * 4


@pytest.mark.parametrize("packed", [None, 40], ids=["padded", "packed"])
@pytest.mark.parametrize("seed", range(6))
def test_views_are_disjoint_and_together_the_response(packed, seed):
    """5.4: and the number of labels is the number of response tokens."""
    batch = lay((2, 9), (3, 4), (1, 13), (0, 1), row_length=packed)
    n = ask(FastDllmV2(block_size=4), batch, seed=seed)
    response = {(int(batch.owner[r, c]), int(batch.position[r, c])) for r, c in batch.is_filled.nonzero().tolist()}
    rows = len(batch.ids)
    views = [
        {p for p, (row, _) in zip(places(n), n.query_positions.tolist(), strict=True) if row // rows == v}
        for v in (0, 1)
    ]
    assert not views[0] & views[1]
    assert views[0] | views[1] == response
    assert len(n.query_positions) == len(response) == int(n.count)


def test_the_loss_is_the_mean_cross_entropy_of_the_response():
    lm = tiny("llama-shifted", "block_causal")
    batch = lay((2, 8), (3, 5))
    objective = FastDllmV2(block_size=4)
    n = ask(objective, batch, lm)
    with torch.no_grad():
        scored = lm.score(n.query, n.query_positions, n.targets)
    assert float(objective.loss(scored, n) / n.count) == pytest.approx(float(scored.nll.mean()), rel=1e-6)
    uniform = Uniform().score(n.query, n.query_positions, n.targets)
    assert float(objective.loss(uniform, n) / n.count) == pytest.approx(torch.tensor(11.0).log().item())


def test_it_is_block_diffusion_in_complementary_views():
    batch = lay((2, 8), (3, 5))
    mine = ask(FastDllmV2(block_size=4), batch)
    theirs = ask(Complementary(inner=BlockDiffusion(block_size=4, normaliser="per_masked")), batch)
    assert torch.equal(mine.query.ids, theirs.query.ids)
    assert torch.equal(mine.weight, theirs.weight)
    assert torch.equal(mine.count, theirs.count)


def test_each_block_and_view_is_a_group():
    n = ask(FastDllmV2(block_size=4), lay((2, 8), (3, 8)))
    rows, blocks = n.query_positions[:, 0], n.query.columns.block[n.query_positions[:, 0], n.query_positions[:, 1]]
    assert len(set(n.group.tolist())) == len({*zip(rows.tolist(), blocks.tolist(), strict=True)})
