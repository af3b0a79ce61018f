"""WSD: blocks that warm up, stay whole and decay; and CAP."""

import pytest
import torch
from texts import M, ask, lay, places, tiny

from toys import Hash
from unmask.core.attention import BlockCausal, may_attend
from unmask.core.protocols import Scored
from unmask.errors import UserError
from unmask.objectives import Vanilla, Wsd

STABLE = 0.5
"""A point of the run in the phase of whole responses."""


def blocks_only(**options):
    """The decay phase from the first step on."""
    return Wsd(**{"block_size": 4, "warmup": 0.0, "decay": 1.0, **options})


def test_schedule_by_hand():
    """Warm-up over .2 in two sizes, whole until .7, three sizes over the last .3."""
    objective = Wsd(block_size=4, warmup_blocks=(1, 2), decay_blocks=(16, 8))
    at = {
        0.0: 1, 0.09: 1, 0.1: 2, 0.19: 2, 0.2: 0, 0.69: 0, 0.71: 16, 0.79: 16, 0.81: 8, 0.89: 8, 0.91: 4, 1.0: 4
    }  # fmt: skip
    assert {s: objective.block_size_at(s) for s in at} == at
    assert objective.scheduled(0.5) == {"block_size": 0}
    assert objective.block_size == 4
    assert Wsd(warmup=0.0).block_size_at(0.0) == 0
    assert Wsd(decay=0.0).block_size_at(0.999) == 0
    assert Wsd(block_size=4, decay=0.0).block_size_at(1.0) == 4  # the held-out loss, at the end


def test_every_size_gets_its_share():
    objective = Wsd(block_size=32, warmup_blocks=(1, 4, 8, 16), decay_blocks=(128, 64), warmup=0.4, decay=0.3)
    sizes = [objective.block_size_at(s / 1000) for s in range(1000)]
    counts = {size: sizes.count(size) for size in dict.fromkeys(sizes)}
    assert list(counts) == [1, 4, 8, 16, 0, 128, 64, 32]
    assert all(abs(counts[size] - 100) <= 1 for size in (1, 4, 8, 16, 128, 64, 32))


def test_blocks_by_hand():
    """The second warm-up size, 2: three blocks, the last of them one of filler."""
    objective = Wsd(block_size=4, warmup_blocks=(1, 2), eps=1e-9)
    batch = lay((1, 3), block=4)
    n = ask(objective, batch, progress=0.15, t=[0.5, 0.25], mask=[[0.0, 0.4, 0.6, 0.1, 0.2]])
    assert places(n) == [(0, 1), (0, 3), (0, 4)]
    assert n.weight.tolist() == pytest.approx([2 / 4, 4 / 4, 4 / 4])
    assert n.query.columns.block.tolist() == [[-1, 0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize("normaliser", ["per_sequence", "per_masked_row"])
@pytest.mark.parametrize("packed", [None, 40], ids=["padded", "packed"])
def test_the_stable_phase_is_vanilla_with_a_hidden_tail(normaliser, packed):
    """5.6: block = L without a clean half: the same draws, question and logits under a block-causal rule."""
    lm = tiny("llama", "block_causal")
    batch = lay((3, 8), (2, 5), (4, 9), row_length=packed, tail=4)
    for seed in range(3):
        mine = ask(Wsd(block_size=4, normaliser=normaliser), batch, lm, seed=seed, progress=STABLE)
        theirs = ask(Vanilla(tail="hidden", normaliser=normaliser), batch, lm, seed=seed)
        assert torch.equal(mine.query.ids, theirs.query.ids)
        assert torch.equal(mine.query_positions, theirs.query_positions)
        assert torch.equal(mine.weight, theirs.weight)
        assert torch.equal(mine.count, theirs.count)
        assert mine.query.rule == BlockCausal()
        seen = may_attend(mine.query.rule, mine.query.columns, mine.query.columns)
        inside = batch.is_canvas[:, :, None] & batch.is_canvas[:, None, :]
        same = batch.owner[:, :, None] == batch.owner[:, None, :]
        assert seen[inside & same].all()  # one block: full attention, the tail included
        assert not seen[~batch.is_canvas[:, :, None] & batch.is_canvas[:, None, :]].any()
        assert torch.isfinite(lm.logits(mine.query, mine.query_positions)).all()


@pytest.mark.parametrize("progress", [0.05, STABLE, 0.95])
def test_no_attention_across_documents(progress):
    """5.6: in every phase another document's tokens change nothing."""
    lm = tiny("qwen3", "block_causal")
    batch = lay((3, 8), (2, 8), row_length=21)
    n = ask(Wsd(block_size=4), batch, lm, progress=progress)
    assert len(n.query.ids) == 1
    mine = n.example == 0
    assert mine.any()
    ids = torch.where(n.query.columns.segment == 1, (n.query.ids + 3) % 9, n.query.ids)
    with torch.no_grad():
        before = lm.logits(n.query, n.query_positions)
        after = lm.logits(type(n.query)(**{**vars(n.query), "ids": ids}), n.query_positions)
    torch.testing.assert_close(after[mine], before[mine], rtol=0, atol=1e-6)
    assert (after[~mine] - before[~mine]).abs().max() > 1e-2


@pytest.mark.parametrize("progress", [0.15, STABLE, 0.95])
def test_the_realised_share_keeps_to_the_clip(progress):
    """5.6: t ~ U(.3, .8): levels inside the band, the hidden share around its middle."""
    batch = lay(*[(1, 64)] * 64, block=4)
    n = ask(Wsd(block_size=4, clip=(0.3, 0.8)), batch, progress=progress)
    assert float(n.noise_level.min()) >= 0.3
    assert float(n.noise_level.max()) <= 0.8
    assert len(n.query_positions) / (64 * 64) == pytest.approx(0.55, abs=0.02)
    whole = ask(Wsd(block_size=4, clip=(0.3, 0.8)), batch, progress=STABLE)
    shares = torch.bincount(whole.example, minlength=64) / 64
    assert float(((shares > 0.2) & (shares < 0.9)).float().mean()) > 0.95


def test_clip_with_redraws_keeps_every_block_in_the_band():
    batch = lay(*[(1, 64)] * 8, block=16)
    n = ask(blocks_only(block_size=16, clip=(0.3, 0.8), redraw=50), batch)
    shares = torch.bincount(n.group, minlength=32) / 16
    assert float(shares.min()) >= 0.3
    assert float(shares.max()) <= 0.8


def cap(cap, entropy, is_top, example=None):
    """The CAP term alone: all likelihoods are zero."""
    batch = lay((1, 4), (1, 4))
    n = ask(blocks_only(cap=cap), batch, t=[1.0, 1.0], mask=torch.zeros(2, 5).tolist())
    assert n.example.tolist() == [0] * 4 + [1] * 4
    zero = torch.zeros(8, dtype=entropy.dtype)
    return blocks_only(cap=cap).loss(Scored(nll=zero, entropy=entropy, is_top=torch.tensor(is_top)), n)


def test_cap_by_hand():
    """Per example the mean entropy of what is right: (1 + 3) / 2 in the first, 2 in the second."""
    entropy = torch.tensor([1.0, 9.0, 3.0, 9.0, 9.0, 2.0, 9.0, 9.0], requires_grad=True)
    is_top = [True, False, True, False, False, True, False, False]
    loss = cap(0.5, entropy, is_top)
    assert float(loss.detach()) == pytest.approx(0.5 * (2 + 2))
    loss.backward()
    assert entropy.grad.tolist() == [0.25, 0, 0.25, 0, 0, 0.5, 0, 0]


def test_cap_is_zero_and_finite_where_nothing_is_right():
    entropy = torch.full((8,), 2.0, requires_grad=True)
    loss = cap(1.0, entropy, [False] * 8)
    loss.backward()
    assert float(loss.detach()) == 0
    assert entropy.grad.tolist() == [0.0] * 8


@pytest.mark.parametrize("is_right", [True, False])
def test_no_gradient_flows_through_what_is_right(is_right):
    """Through a model: with likelihoods left out, the gradient is that of the entropy of the tokens that are right."""
    lm = tiny("llama", "block_causal")
    batch = lay((1, 4))
    objective = blocks_only(cap=1.0)
    n = ask(objective, batch, lm, t=[1.0], mask=torch.zeros(1, 5).tolist())
    logits = lm.logits(n.query, n.query_positions)
    targets = logits.argmax(-1) if is_right else logits.argmin(-1)
    scored = lm.score(n.query, n.query_positions, targets, want=objective.want)
    assert scored.is_top.tolist() == [is_right] * 4
    term = objective.loss(Scored(nll=scored.nll * 0, entropy=scored.entropy, is_top=scored.is_top), n)
    term.backward()
    found = lm.model.model.norm.weight.grad.clone()
    lm.model.zero_grad()
    p = lm.logits(n.query, n.query_positions).softmax(-1)
    entropy = -(p * p.log()).sum(-1).mean()
    (entropy * float(is_right)).backward()
    torch.testing.assert_close(found, lm.model.model.norm.weight.grad, rtol=1e-4, atol=1e-6)
    assert found.abs().max() > 1e-3 or not is_right


def test_without_cap_nothing_more_is_wanted():
    assert Wsd().want == ()
    assert Wsd(cap=0.1).want == ("entropy", "is_top")


@pytest.mark.parametrize("progress", [0.05, STABLE, 0.95])
def test_complementary_views_supervise_every_response_token_once(progress):
    batch = lay((2, 8), (3, 5), row_length=30)
    response = [(int(batch.owner[r, c]), int(batch.position[r, c])) for r, c in batch.is_filled.nonzero().tolist()]
    for seed in range(4):
        n = ask(Wsd(block_size=4, complementary=True), batch, seed=seed, progress=progress)
        assert sorted(places(n)) == sorted(response)
        assert float(n.count) == pytest.approx(2)


def test_cross_entropy_of_one_gives_a_loss_of_one():
    """The plain means, as released: every phase has the scale of the others."""
    batch = lay(*[(1, 8)] * 64, block=4)
    for progress in (0.05, 0.15, STABLE, 0.95):
        n = ask(Wsd(block_size=4, clip=(0.3, 0.8), normaliser="per_masked_row"), batch, progress=progress)
        assert float(n.weight.sum() / n.count) == pytest.approx(len(set(n.example.tolist())) / 64)
        assert len(set(n.example.tolist())) >= 60


def test_whole_responses_hide_their_tail():
    n = ask(
        Wsd(block_size=4), lay((1, 4), tail=4), progress=STABLE, t=[0.5], mask=[[0.0, 0.1, 0.9, 0.9, 0.9] + [0.0] * 4]
    )
    assert (n.query.ids[0] == Hash().mask_id).tolist() == [False, True, False, False, False] + [True] * 4
    assert places(n) == [(0, 1)]
    assert n.query.ids[0, 1] == M


def test_refusals():
    with pytest.raises(UserError, match="warmup and decay: expected shares of at most 1 together, found"):
        Wsd(warmup=0.8, decay=0.4)
    with pytest.raises(UserError, match=r"warmup_blocks: expected growing sizes of at least 1, found \[4, 1\]"):
        Wsd(warmup_blocks=(4, 1))
    with pytest.raises(
        UserError, match=r"decay_blocks: expected sizes that shrink towards block_size, found \[8, 32\]"
    ):
        Wsd(decay_blocks=(8,), block_size=32)
