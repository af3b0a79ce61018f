"""NBDiff: the autoregressive model stays inside, and blocks grow."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from texts import END, M, ask, causal, lay, places, tiny

from unmask.config.components import choose
from unmask.core.attention import CLEAN, OPEN
from unmask.core.attention_rules import Causal
from unmask.core.protocols import Traits
from unmask.data import Encoded
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch, load
from unmask.objectives import OBJECTIVES, BlockDiffusion, NBDiff
from unmask.train import Layout, TrainRun, train

SHIFTED = ["llama-shifted", "qwen2-shifted"]


def fixed(block_size, **options):
    """No growth: blocks have their last size from the start."""
    return NBDiff(block_size=block_size, grow_until=0.0, **options)


def test_by_hand():
    """Blocks of 2: the whole answer stands clean, too, and each of its tokens is asked there from the state before."""
    batch = lay((2, 4), block=2)
    batch.ids[:] = torch.tensor([[1, 2, 3, 4, 5, END]])
    n = ask(fixed(2), batch, t=[0.5, 0.5], mask=[[0.0, 0.0, 0.1, 0.9, 0.2, 0.3]])
    assert n.query.ids.tolist() == [[1, 2, 3, 4, 5, END, M, 4, M, M]]
    assert n.query.columns.stream.tolist() == [[CLEAN] * 6 + [OPEN] * 4]
    assert n.query_positions.tolist() == [[0, c] for c in (2, 3, 4, 5, 6, 8, 9)]
    assert n.targets.tolist() == [3, 4, 5, END, 3, 5, END]
    # The mean of three masked tokens, and half the mean of four next tokens.
    assert n.weight.tolist() == pytest.approx([0.5 / 4] * 4 + [1 / 3] * 3)
    assert n.noise_level.tolist() == pytest.approx([0.0] * 4 + [0.5] * 3, abs=1e-3)
    assert n.query.before[0, n.query_positions[:, 1]].tolist() == [1, 2, 3, 4, 1, 3, 8]
    assert float(n.count) == 1


@pytest.mark.parametrize(
    ("normaliser", "noisy", "clean", "count"),
    [
        ("per_masked_row", [1, 1 / 3], [0.5 / 2, 0.5 / 4], 2),
        ("per_sequence", [2 / 2, 2 / 4], [0.5 / 2, 0.5 / 4], 2),
        ("per_token", [2, 2], [0.5, 0.5], 6),
    ],
)
def test_both_losses_have_one_denominator(normaliser, noisy, clean, count):
    """Answers of 2 and 4 tokens, of which 1 and 3 are masked at t = 1/2."""
    batch = lay((1, 2), (1, 4), block=2)
    u = [[0.0, 0.1, 0.9, 0.0, 0.0], [0.0, 0.1, 0.9, 0.2, 0.3]]
    n = ask(fixed(2, normaliser=normaliser, eps=1e-9), batch, t=[0.5] * 4, mask=u)
    is_noisy = n.query.columns.stream[n.query_positions[:, 0], n.query_positions[:, 1]] == OPEN
    for e in (0, 1):
        of_example = n.example == e
        assert n.weight[of_example & is_noisy].tolist() == pytest.approx([noisy[e]] * (1, 3)[e])
        assert n.weight[of_example & ~is_noisy].tolist() == pytest.approx([clean[e]] * (2, 4)[e])
    assert float(n.count) == count


def test_the_mean_over_masked_tokens_does_not_shrink_with_the_blocks():
    """With a cross-entropy of 1 everywhere the loss is 1 for every block size, though short blocks are often empty."""
    for size in (1, 2, 4, 8):
        batch = lay(*[(2, 8)] * 32, block=8)
        n = ask(NBDiff(block_size=size, grow_until=0.0, ar_weight=0.0), batch)
        empty = 32 - len(set(n.example.tolist()))
        assert float(n.weight.sum()) == pytest.approx(32 - empty)
        assert empty <= 6


@pytest.mark.parametrize("name", SHIFTED)
@pytest.mark.parametrize("packed", [None, 40], ids=["padded", "packed"])
def test_the_clean_stream_is_the_autoregressive_model(name, packed):
    """5.5: its logits are those of a causal forward of x_0, and so is the auxiliary loss."""
    lm = tiny(name, "context_causal")
    batch = lay((3, 8), (1, 5), (4, 9), row_length=packed)
    n = ask(fixed(4, ar_weight=1.0, normaliser="per_token"), batch, lm)
    n = n.only(n.query.columns.stream[n.query_positions[:, 0], n.query_positions[:, 1]] == CLEAN)
    is_response = batch.is_filled
    where = {
        (int(batch.owner[r, c]), int(batch.position[r, c])): k
        for k, (r, c) in enumerate(is_response.nonzero().tolist())
    }
    order = [where[p] for p in places(n)]
    assert sorted(order) == list(range(int(is_response.sum())))
    with torch.no_grad():
        mine = lm.logits(n.query, n.query_positions)
        theirs = lm.logits(causal(batch, Causal()), is_response.nonzero())
    torch.testing.assert_close(mine, theirs[order], rtol=0, atol=1e-5)
    assert n.weight.tolist() == [1.0] * len(n.query_positions)


@pytest.mark.parametrize("name", SHIFTED)
def test_fully_masked_blocks_of_one_give_the_same_loss_twice(name):
    """5.5: b = 1, t = 1, shifted: L_MDM = L_AR."""
    lm = tiny(name, "context_causal")
    batch = lay((3, 8), (2, 5), block=1)
    n = ask(fixed(1, ar_weight=1.0), batch, lm, t=[1.0] * 16, mask=torch.zeros_like(batch.ids).tolist())
    with torch.no_grad():
        terms = n.weight * lm.score(n.query, n.query_positions, n.targets).nll
    is_clean = n.query.columns.stream[n.query_positions[:, 0], n.query_positions[:, 1]] == CLEAN
    assert int(is_clean.sum()) == int((~is_clean).sum()) == 13
    assert float(terms[is_clean].sum()) == pytest.approx(float(terms[~is_clean].sum()), abs=1e-5)


def test_without_the_auxiliary_loss_it_is_block_diffusion_behind_a_causal_context():
    batch = lay((3, 8), (2, 5))
    mine = ask(fixed(4, ar_weight=0.0), batch)
    theirs = ask(BlockDiffusion(block_size=4, normaliser="per_masked_row"), batch)
    assert torch.equal(mine.query.ids, theirs.query.ids)
    assert torch.equal(mine.weight, theirs.weight)
    assert mine.query.rule != theirs.query.rule


def test_growth_by_hand():
    """b(s) = min(S, first 2^floor((s - from) / step)): from 1 to 16 in four doublings between .2 and .6."""
    objective = NBDiff(block_size=16, grow_from=0.2, grow_until=0.6)
    at = {0.0: 1, 0.19: 1, 0.2: 1, 0.29: 1, 0.31: 2, 0.39: 2, 0.41: 4, 0.49: 4, 0.51: 8, 0.59: 8, 0.61: 16, 1.0: 16}
    assert {s: objective.block_size_at(s) for s in at} == at
    paper = NBDiff(block_size=32)  # 2500 of 4000 steps
    sizes = [paper.block_size_at(s / 4000) for s in range(4000)]
    assert [sizes.index(b) for b in (1, 2, 4, 8, 16, 32)] == [0, 500, 1000, 1500, 2000, 2500]
    assert sizes == sorted(sizes)
    assert NBDiff(block_size=8, first_block=8).block_size_at(0.0) == 8
    assert NBDiff(block_size=8, first_block=4).scheduled(0.0) == {"block_size": 4}


def test_the_grid_of_the_question_is_the_scheduled_one():
    batch = lay((2, 8), block=8)
    for progress, size in ((0.0, 1), (0.3, 2), (0.5, 4), (0.7, 8)):
        n = ask(NBDiff(block_size=8), batch, progress=progress)
        noisy = n.query.columns.stream == OPEN
        assert n.query.columns.block[noisy].tolist() == [i // size for i in range(8)]


def test_refusals():
    with pytest.raises(UserError, match=r"block_size: expected first_block=3 times a power of 2, found 8"):
        NBDiff(block_size=8, first_block=3)
    with pytest.raises(UserError, match=r"expected first_block=8 times a power of 2, found 4"):
        NBDiff(block_size=4, first_block=8)
    traits = Traits(shift=False, attention="context_causal")
    assert "predicts the next token, but this model's logits are not shifted; write ar_weight: 0" in NBDiff().refuses(
        traits
    )
    assert NBDiff(ar_weight=0.0).refuses(traits) is None
    assert NBDiff().refuses(Traits(shift=True, attention="context_causal")) is None
    with pytest.raises(UserError, match="nbdiff queries more than what it hides"):
        choose(OBJECTIVES, {"name": "complementary", "inner": "nbdiff"})
    choose(OBJECTIVES, {"name": "complementary", "inner": {"name": "nbdiff", "ar_weight": 0.0}})


def grow(out, *, resume=False, kill_in_step=None):
    """Eight steps in which blocks grow from 1 to 8."""
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, seed=1), shift=True)
    rows = [Encoded(prompt=[1, 2], answer=[3, 4 + i, 5, 6, 7, 8, lm.filler_id], source=f"row {i}") for i in range(4)]
    run = TrainRun(objective=NBDiff(block_size=8, grow_until=0.75), steps=8, batch_size=2, lr=1e-2, save_every=3)
    score, calls = lm.score, []

    def scored_or_killed(*arguments, **options):
        calls.append(1)
        if len(calls) == kill_in_step:
            os.kill(os.getpid(), signal.SIGKILL)
        return score(*arguments, **options)

    lm.score = scored_or_killed
    train(lm, rows, run, out=out, layout=Layout(), resume=resume, show=False)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_growth_goes_on_after_a_kill(tmp_path):
    """Killed in step 6 and resumed from step 3, the blocks are those of a run in one go, and so are the weights."""
    here = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    call = f"grow({str(tmp_path / 'cut')!r}, kill_in_step=6)"
    code = f"import sys; sys.path[:0] = {here}; from test_nbdiff import grow; {call}"
    died = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr[-500:]
    assert [line.get("block_size") for line in lines(tmp_path / "cut")] == [None, 1, 1, 2, 2, 4]
    grow(tmp_path / "cut", resume=True)
    grow(tmp_path / "whole")
    sizes = [line.get("block_size") for line in lines(tmp_path / "cut")]
    assert sizes == [None, 1, 1, 2, 2, 4, 4, 8, 8]
    assert sizes == [line.get("block_size") for line in lines(tmp_path / "whole")]
    assert [line.get("loss") for line in lines(tmp_path / "cut")] == [
        line.get("loss") for line in lines(tmp_path / "whole")
    ]
    one, two = (load(tmp_path / name / "model").model.state_dict() for name in ("cut", "whole"))
    for key, weight in two.items():
        assert torch.equal(one[key], weight), key


def test_training_keeps_the_autoregressive_loss_in_the_run(tmp_path):
    """The clean stream learns: the causal loss of the answers falls without a forward of its own."""
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, seed=1), shift=True)
    rows = [Encoded(prompt=[1, 2], answer=[3, 4, 5, 6, 7, 8, 9, lm.filler_id], source=f"row {i}") for i in range(4)]
    batch = lay((2, 8), end=lm.filler_id)
    batch.ids[:] = torch.tensor([[*rows[0].prompt, *rows[0].answer]])

    def loss():
        with torch.no_grad():
            return float(
                lm.score(causal(batch, Causal()), batch.is_text.nonzero(), batch.ids[batch.is_text]).nll.mean()
            )

    before = loss()
    run = TrainRun(objective=NBDiff(block_size=4), steps=20, batch_size=4, lr=1e-2)
    train(lm, rows, run, out=tmp_path / "run", layout=Layout(), show=False)
    assert loss() < 0.5 * before
