"""Block diffusion by hand, at its limits (one block: MDLM; blocks of one: autoregression), and learning."""

import math

import pytest
import torch
from texts import M, ask, causal, lay, places, region_of, tiny

from unmask.core.attention_rules import Causal
from unmask.core.random import Draws
from unmask.data import Encoded
from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate import evaluate
from unmask.models import load
from unmask.objectives import BlockDiffusion, Vanilla
from unmask.runtime.paths import resolve_path
from unmask.tasks import TASKS
from unmask.train import Layout, TrainRun, train

# Uniform numbers for 2 prompt and 6 response columns.
U = [[0.0, 0.0, 0.1, 0.9, 0.7, 0.2, 0.3, 0.8]]


def plain(**options):
    return BlockDiffusion(**{"block_size": 2, "eps": 1e-9, **options})


def test_by_hand():
    """t = .5, .25 and 1 in three blocks of two: CE / t over the response's 6 tokens."""
    n = ask(plain(), lay((2, 6), block=2), t=[0.5, 0.25, 1.0], mask=U)
    assert places(n) == [(0, 2), (0, 5), (0, 6), (0, 7)]
    assert n.weight.tolist() == pytest.approx([2 / 6, 4 / 6, 1 / 6, 1 / 6])
    assert n.noise_level.tolist() == pytest.approx([0.5, 0.25, 1.0, 1.0])
    assert n.group.tolist() == [0, 1, 2, 2]
    assert float(n.count) == 1
    hidden = n.query.ids[0] == M
    assert n.query.columns.position[0, hidden].tolist() == [2, 5, 6, 7]


@pytest.mark.parametrize(
    ("normaliser", "weight", "count"),
    [
        ("per_sequence", [2 / 6, 2 / 6, 1 / 6, 1 / 6, 4 / 2], 2),
        ("per_token", [2, 2, 1, 1, 4], 8),
        ("per_row", [2, 2, 1, 1, 4], 2),
        ("fixed_length", [2, 2, 1, 1, 4], 16),
        ("per_masked_row", [1 / 4, 1 / 4, 1 / 4, 1 / 4, 1], 2),
        ("per_masked", [1, 1, 1, 1, 1], 5),
    ],
)
def test_denominators_by_hand(normaliser, weight, count):
    """Three blocks beside one: what is averaged is the example, not its blocks, of which one has nothing masked."""
    batch = lay((2, 6), (2, 2), block=2)
    u = [[0.0, 0.0, 0.1, 0.2, 0.9, 0.9, 0.3, 0.8], [0.0, 0.0, 0.1, 0.9, 0.0, 0.0, 0.0, 0.0]]
    n = ask(plain(normaliser=normaliser), batch, t=[0.5, 0.5, 1.0, 0.25, 0.0, 0.0], mask=u)
    assert places(n) == [(0, 2), (0, 3), (0, 6), (0, 7), (1, 2)]
    assert n.weight.tolist() == pytest.approx(weight)
    assert float(n.count) == pytest.approx(count)


def test_clip_and_one_level_for_all_blocks():
    """t = low + (high - low) u; SDAR draws one u for all blocks of an example."""
    batch = lay((2, 6), block=2)
    n = ask(plain(clip=(0.4, 0.8)), batch, t=[0.0, 0.5, 0.999999], mask=[[0.0] * 8])
    assert n.noise_level.tolist() == pytest.approx([0.4, 0.4, 0.6, 0.6, 0.8, 0.8])
    for seed in range(5):
        n = ask(BlockDiffusion(block_size=2, t_per="example"), lay((1, 8), (1, 8), block=2), seed=seed)
        levels = [set(n.noise_level[n.example == e].tolist()) for e in (0, 1)]
        assert [len(level) for level in levels] <= [1, 1]
        assert levels[0] != levels[1] or levels == [set(), set()]


def test_blocks_draw_levels_of_their_own():
    n = ask(BlockDiffusion(block_size=2, clip=(0.5, 1.0)), lay((1, 64), block=2))
    assert len(set(n.noise_level.tolist())) > 20
    one_each = {group: {float(t) for t in n.noise_level[n.group == group]} for group in n.group.tolist()}
    assert all(len(levels) == 1 for levels in one_each.values())


def test_redraw_by_hand():
    """Blocks of 4 at t = .5; the first draws hide all of one and none of the other, which (.3, .8) forbids."""
    batch = lay((0, 8), block=4)
    draws = {
        "t": [0.4, 0.4],
        "mask": [[0.0] * 4 + [0.9] * 4],
        "mask_again_0": [[0.0, 0.0, 0.9, 0.9] + [0.9] * 4],
        "mask_again_1": [[0.0] * 4 + [0.9, 0.9, 0.9, 0.0]],
        "mask_again_2": [[0.9] * 4 + [0.0, 0.9, 0.0, 0.9]],
    }
    found = {}
    for redraw in range(5):
        n = ask(BlockDiffusion(block_size=4, clip=(0.3, 0.8), redraw=redraw), batch, **draws)
        found[redraw] = [position for _, position in places(n)]
    assert found == {0: [0, 1, 2, 3], 1: [0, 1], 2: [0, 1, 7], 3: [0, 1, 4, 6], 4: [0, 1, 4, 6]}


def test_a_bound_left_at_its_default_is_not_enforced():
    draws = {"t": [0.5], "mask": [[0.0] * 4], "mask_again_0": [[0.9] * 4]}
    n = ask(BlockDiffusion(block_size=4, clip=(0.3, 1.0), redraw=1), lay((0, 4)), **draws)
    assert len(n.query_positions) == 4


def test_clip_is_checked():
    with pytest.raises(UserError, match=r"clip: expected 0 <= low < high <= 1, found 0.8 and 0.3"):
        BlockDiffusion(clip=(0.8, 0.3))


@pytest.mark.parametrize(("prompt", "attention"), [(0, "bidirectional"), (3, "block_causal")])
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_one_block_is_masked_diffusion(prompt, attention, name):
    """5.1 (d): b = L on the same draws is vanilla training with a hidden tail: the same question, the same logits."""
    lm = tiny(name, attention)
    batch = lay((prompt, 8), (prompt, 8), block=8)
    for seed in range(3):
        mine = ask(BlockDiffusion(block_size=8), batch, lm, seed=seed)
        theirs = ask(Vanilla(tail="hidden"), batch, lm, seed=seed)
        assert places(mine) == places(theirs)
        assert torch.equal(mine.weight, theirs.weight)
        assert torch.equal(mine.count, theirs.count)
        with torch.no_grad():
            one, other = lm.logits(mine.query, mine.query_positions), lm.logits(theirs.query, theirs.query_positions)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["llama-shifted", "qwen2-shifted"])
def test_blocks_of_one_are_next_token_prediction(name):
    """5.1 (e): all masked, the loss of a shifted model is the autoregressive cross-entropy (after a prompt of one)."""
    lm = tiny(name)
    batch = lay((1, 8), (1, 5), block=1)
    u = torch.zeros(2, 9).tolist()
    n = ask(BlockDiffusion(block_size=1, normaliser="per_token"), batch, lm, t=[1.0] * 16, mask=u)
    is_response = batch.is_text
    with torch.no_grad():
        loss = (n.weight * lm.score(n.query, n.query_positions, n.targets).nll).sum() / n.count
        scored = lm.score(causal(batch, Causal()), is_response.nonzero(), batch.ids[is_response])
    assert len(n.query_positions) == 13
    assert float(loss) == pytest.approx(float(scored.nll.mean()), abs=1e-5)


def test_an_unshifted_model_reads_its_own_mask_in_blocks_of_one():
    """Then the mask stands behind the clean text, as one more token of a causal model."""
    lm = tiny("qwen3")
    batch = lay((1, 4), block=1)
    n = ask(BlockDiffusion(block_size=1), batch, lm, t=[1.0] * 4, mask=torch.zeros(1, 5).tolist())
    for k, (_, position) in enumerate(places(n)):
        query = causal(batch, Causal())
        query.ids[0, position] = lm.mask_id
        with torch.no_grad():
            expected = lm.logits(query, torch.tensor([[0, position]]))
            torch.testing.assert_close(lm.logits(n.query, n.query_positions)[k : k + 1], expected, rtol=0, atol=1e-5)


def test_expected_loss_is_the_sum_of_block_elbos():
    """Per example: E of sum over blocks (1/t) masked CE = sum over blocks, by quadrature over t and all patterns."""
    batch = lay((1, 4), block=2)
    objective = BlockDiffusion(block_size=2, eps=1e-9, normaliser="per_row")
    nll = torch.tensor([1.0, 2.0, 4.0, 8.0])
    levels = [(i + 0.5) / 50 for i in range(50)]
    total = 0.0
    for t in levels:
        for pattern in range(4):
            hit = [pattern >> i & 1 for i in range(2)]
            chance = math.prod(t if h else 1 - t for h in hit) / len(levels)
            n = ask(objective, batch, t=[t, t], mask=[[0.0] + [0.0 if h else 1.0 for h in hit * 2]])
            queried = torch.tensor([position - 1 for _, position in places(n)], dtype=torch.int64)
            total += chance * float((n.weight * nll[queried]).sum() / n.count)
    assert total == pytest.approx(15.0, rel=1e-5)


def test_block_decoding_gets_better(tmp_path):
    """Two minutes of the quick start in seconds: a base that was trained on the canvas as a whole learns blocks."""
    task = TASKS["sorting"](shortest=5, longest=6)
    lm = load(resolve_path("asset:quickstart/model"))
    encode = lm.tokenizer.encode
    rows = [
        Encoded(prompt=encode(p.prompt), answer=[*encode(p.solution), lm.filler_id], source=p.source)
        for p in task.problems("train", 1920, 0)
    ]
    problems = task.problems("test", 100, 1)

    def accuracy():
        return evaluate(lm, task, problems, decoder=Decoder(block_size=7, threshold=0.9), max_new_tokens=28).accuracy

    before = accuracy()
    run = TrainRun(objective=BlockDiffusion(block_size=7), steps=60, batch_size=32, lr=2e-3)
    train(lm, rows, run, out=tmp_path / "run", layout=Layout(), show=False)
    assert accuracy() > before + 0.15


def test_the_grid_is_the_objectives():
    assert BlockDiffusion(block_size=16).block_size == 16
    assert BlockDiffusion().attention == "block_causal"
    assert region_of(BlockDiffusion(), lay((2, 8)), Draws(seed=0)).batch.block_size == 4
