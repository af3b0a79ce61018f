"""Invariants (a) to (i) of Blockwise SFT, and the unbiased estimator by enumeration."""

import itertools

import pytest
import torch
from knowing import Known, Spread
from texts import ask as texts_ask
from texts import lay, tiny

from toys import Hash
from unmask.config.components import choose as choose_part
from unmask.core.batch import Example, lay_out
from unmask.core.protocols import Scored, Traits
from unmask.core.random import Draws, RecordedDraws
from unmask.errors import UserError
from unmask.objectives import OBJECTIVES, Blockwise, Gift, Lift, Papl, Vanilla

M = Hash().mask_id


def one(length=9, canvas=16, block=4, order=0):
    answer = [(i % 8) + 1 for i in range(length - 1)] + [9]
    return lay_out([Example(prompt=[1, 2], answer=answer, order=order, canvas=canvas)], block_size=block, filler_id=9)


def ask(objective, b, **values):
    recorded = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}
    return objective.noise(b, model=Hash(), draws=RecordedDraws(seed=0, values=recorded), progress=0)


def test_by_hand():
    """9 answer tokens, blocks of 4, canvas 16: block 1 of 3 is active, its columns 0 and 2 are masked."""
    u = [[0.0] * 2 + [0.0] * 4 + [0.1, 0.9, 0.2, 0.8] + [0.0] * 8]
    n = ask(Blockwise(block_size=4), one(), t=[0.5], block=[0.4], mask=u)
    assert n.query.ids.tolist() == [[1, 2, 1, 2, 3, 4, M, 6, M, 8] + [M] * 8]
    assert n.query_positions.tolist() == [[0, 6], [0, 8]]
    assert n.targets.tolist() == [5, 7]
    assert n.weight.tolist() == [0.5, 0.5]
    assert float(n.count) == 1


def test_elbo_weight_by_hand():
    """Uniform choice: A / t over the 12 filled columns; by length with a short last block: (n / |a|) / t."""
    u = [[0.0] * 18]
    n = ask(Blockwise(block_size=4, weighting="elbo", eps=1e-9), one(), t=[0.5], block=[0.4], mask=u)
    assert n.weight.tolist() == pytest.approx([3 / 0.5 / 12] * 4)
    short = Blockwise(block_size=4, weighting="elbo", eps=1e-9, choose="length", padding="released")
    n = ask(short, one(), t=[0.5], block=[0.95], mask=u)
    assert n.query_positions.tolist() == [[0, 10]]
    assert n.weight.tolist() == pytest.approx([9 / 1 / 0.5 / 9])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("padding", ["canvas", "released"])
def test_prefix_clean_suffix_hidden_loss_inside(seed, padding):
    b = one()
    n = Blockwise(block_size=4, padding=padding).noise(b, model=Hash(), draws=Draws(seed=seed), progress=0)
    if not len(n.query_positions):
        return
    block = int(b.block[0, n.query_positions[0, 1]])
    assert {int(b.block[0, c]) for _, c in n.query_positions.tolist()} == {block}
    ids = n.query.ids[0]
    end = int(b.text_length[0]) if padding == "released" else 16
    for column in range(2, 18):
        offset = column - 2
        if offset // 4 < block or offset >= end:
            assert ids[column] == b.ids[0, column]
        elif offset // 4 > block:
            assert ids[column] == M


def test_blocks_cover_the_response_and_are_disjoint():
    """Over many draws with everything masked every filled column is asked, in blocks that partition them."""
    b, seen = one(), set()
    for u in torch.linspace(0, 0.999, 30).tolist():
        n = ask(Blockwise(block_size=4), b, block=[u], t=[1.0], mask=[[0.0] * 18])
        seen.add(tuple(c for _, c in n.query_positions.tolist()))
    assert seen == {(2, 3, 4, 5), (6, 7, 8, 9), (10, 11, 12, 13)}


def test_one_block_for_all_is_vanilla_with_the_per_masked_normaliser():
    b = one(length=8, canvas=8, block=8)
    for seed in range(10):
        mine = Blockwise(block_size=8).noise(b, model=Hash(), draws=Draws(seed=seed), progress=0)
        theirs = Vanilla(normaliser="per_masked_row").noise(b, model=Hash(), draws=Draws(seed=seed), progress=0)
        assert torch.equal(mine.query.ids, theirs.query.ids)
        assert torch.equal(mine.weight, theirs.weight)


def test_blocks_of_one_are_next_token_prediction_on_a_masked_canvas():
    n = ask(Blockwise(block_size=1), one(length=4, canvas=4, block=1), block=[0.5], t=[1.0], mask=[[0.0] * 6])
    assert n.query.ids.tolist() == [[1, 2, 1, 2, M, M]]
    assert n.query_positions.tolist() == [[0, 4]]


@pytest.mark.parametrize("choose", ["uniform", "length"])
def test_elbo_is_unbiased_by_enumeration(choose):
    """J = sum over blocks of E_t[(1/t) sum of masked CE]: every (block, pattern) on a grid of t, exactly weighted."""
    b = one(length=6, canvas=8, block=4)
    objective = Blockwise(
        block_size=4, weighting="elbo", normaliser="per_token", eps=1e-12, choose=choose, padding="released"
    )
    grid = [(i + 0.5) / 8 for i in range(8)]
    length, estimate, target = 6, 0.0, 0.0
    for block, (start, end) in enumerate([(0, 4), (4, 6)]):
        share = 0.5 if choose == "uniform" else (end - start) / length
        middle = (block + 0.5) / 2 if choose == "uniform" else (start + 0.5) / length
        for t, pattern in itertools.product(grid, itertools.product([0, 1], repeat=end - start)):
            u = torch.full((1, 10), 0.999999)
            for i, hit in enumerate(pattern):
                if hit:
                    u[0, 2 + start + i] = 0.0
            n = ask(objective, b, block=[middle], t=[t], mask=u.tolist())
            nll = Hash().score(n.query, n.query_positions, n.targets).nll
            chance = t ** sum(pattern) * (1 - t) ** (len(pattern) - sum(pattern)) / len(grid)
            estimate += share * chance * float((n.weight * nll).sum() / n.count)
            target += chance * float(nll.sum() / t) / length
    assert estimate == pytest.approx(target, rel=1e-5)


@pytest.mark.parametrize(("prefix", "suffix"), [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
def test_ablation_knobs_move_context_but_never_the_loss(prefix, suffix):
    b = one()
    values = {"block": [0.4], "t": [1.0], "mask": [[0.0] * 18]}
    n = ask(Blockwise(block_size=4, prefix_noise=prefix, suffix_visibility=suffix), b, **values)
    assert n.query_positions.tolist() == [[0, c] for c in (6, 7, 8, 9)]
    assert (n.query.ids[0, 2:6] == M).all() == (prefix == 1.0)
    assert (n.query.ids[0, 10:] == b.ids[0, 10:]).all() == (suffix == 1.0)


def test_changing_the_hidden_suffix_changes_nothing_and_the_prefix_does():
    """Through a model: (h) and (i)."""
    values = {"block": [0.4], "t": [1.0], "mask": [[0.0] * 18]}

    def logits(edit):
        b = one()
        b.ids[0, edit] = 7
        n = ask(Blockwise(block_size=4), b, **values)
        return Hash().logits(n.query, n.query_positions)

    plain = logits([])
    assert torch.equal(plain, logits([12]))
    assert not torch.equal(plain, logits([3]))


# --------------------------------------------------------------------------------------- a method inside the block


COINS = [[0.0, 0.0] + [0.0] * 4 + [0.1, 0.2, 0.95, 0.3] + [0.0] * 4]  # block 1: three of its four columns below .8


def test_lift_inside_the_block_by_hand():
    """Scored and learned with a clean prefix and a hidden suffix; k = round(3 * .5 / .8) = 2 of the block's three."""
    b = lay((2, 12))
    model = Known(nll=[0.0] * 6 + [2.0, 1.0, 0.0, 3.0] + [0.0] * 4)
    objective = Blockwise(block_size=4, inner=Lift(components=2, eps=1e-12))
    n = texts_ask(objective, b, model, t=[0.5], block=[0.4], rho=[0.5], mask=COINS)
    clean = b.ids[0].tolist()
    assert model.texts[0].tolist() == [[*clean[:6], M, M, clean[8], M, M, M, M, M]]
    assert model.asked_at[0].tolist() == [[0, 6], [0, 7], [0, 9]]
    assert n.query.ids.tolist() == [[*clean[:6], M, M, clean[8], clean[9], M, M, M, M]]
    assert n.query_positions.tolist() == [[0, 6], [0, 7]]
    assert n.weight.tolist() == [0.5, 0.5]
    elbo = Blockwise(block_size=4, weighting="elbo", inner=Lift(components=2, eps=1e-12))
    n = texts_ask(elbo, b, model, t=[0.5], block=[0.4], rho=[0.5], mask=COINS)
    assert n.weight.tolist() == pytest.approx([3 / 0.5 / 12] * 2)


def test_gift_inside_the_block_by_hand():
    """Entropies of the block's tokens, read with the suffix hidden: ln 2 and 4 ln 2; rates .36 and .5904."""
    b, model = lay((1, 4), block=2), Spread(choices=[1, 9, 9, 2, 16])
    objective = Blockwise(block_size=2, inner=Gift(eps=1e-12))
    n = texts_ask(objective, b, model, t=[0.488], block=[0.6], mask=[[0.0, 0.0, 0.0, 0.35, 0.59]])
    assert model.texts[0].tolist() == [[*b.ids[0, :3].tolist(), 16, 16]]
    assert n.query_positions.tolist() == [[0, 3], [0, 4]]
    assert n.weight.tolist() == pytest.approx([1 / 0.36 / 2, 1 / 0.5904 / 2])
    texts_ask(objective, b, model, t=[0.488], block=[0.1], mask=[[0.0] * 5])
    assert model.texts[1].tolist() == [[int(b.ids[0, 0]), 16, 16, 16, 16]]


def test_papl_inside_the_block_plans_within_it():
    objective = Blockwise(block_size=2, inner=Papl(alpha=2.0))
    n = texts_ask(objective, lay((1, 4), block=2), t=[0.5], block=[0.6], mask=[[0.0] * 5])
    nll = torch.tensor([2.0, 4.0]).log()
    expected = ((1 + 2 * 2 / 3) * nll[0] + (1 + 2 * 1 / 3) * nll[1]) / 2
    assert float(objective.loss(Scored(nll=nll), n) / n.count) == pytest.approx(float(expected))


@pytest.mark.parametrize("blocks", ["one", "all"])
def test_vanilla_inside_the_block_is_the_block_alone(blocks):
    b = lay((3, 20), (0, 9), (4, 1))
    for weighting in ("per_masked", "elbo"):
        plain = texts_ask(Blockwise(block_size=4, blocks=blocks, weighting=weighting), b)
        inner = texts_ask(Blockwise(block_size=4, blocks=blocks, weighting=weighting, inner=Vanilla()), b)
        assert torch.equal(plain.query.ids, inner.query.ids)
        assert torch.equal(plain.weight, inner.weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inner": {"name": "lift", "normaliser": "per_token"}}, "inner.normaliser"),
        ({"inner": {"name": "vanilla", "tail": "hidden"}}, "inner.tail"),
        ({"inner": "lift", "eps": 0.01}, "inner.eps"),
        ({"inner": {"name": "blockwise"}}, "inner"),
        ({"inner": "block_diffusion"}, "inner"),
        ({"inner": "mixture"}, "inner"),
        ({"blocks": "all", "choose": "length"}, "choose"),
        ({"layout": "two_streams"}, "blocks: all"),
        ({"layout": "two_streams", "blocks": "all", "prefix_noise": 0.1}, "layout: views"),
        ({"layout": "two_streams", "blocks": "all", "padding": "released"}, "layout: views"),
        ({"layout": "two_streams", "blocks": "all", "inner": "cart"}, "layout: views"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(UserError, match=message):
        choose_part(OBJECTIVES, {"name": "blockwise", **settings})


# -------------------------------------------------------------------------------------------- all blocks in one step


def patterns(columns, batch):
    """Every set of hidden columns, as coins for t = anything between 0 and 1, with the number hidden."""
    for hits in itertools.product([0, 1], repeat=len(columns)):
        u = torch.full(batch.ids.shape, 0.999999)
        u[0, [c for c, hit in zip(columns, hits, strict=True) if hit]] = 0.0
        yield u.tolist(), sum(hits)


@pytest.mark.parametrize(("padding", "columns"), [("canvas", 8), ("released", 6)])
@pytest.mark.parametrize(("weighting", "choose"), [("elbo", "uniform"), ("elbo", "length"), ("per_masked", "uniform")])
def test_all_blocks_are_the_expectation_over_one(weighting, choose, padding, columns):
    """Exactly, over noise levels, patterns and blocks; the last block is short unless it is filled."""
    b = one(length=6, canvas=8, block=4)
    options = {"block_size": 4, "weighting": weighting, "padding": padding, "eps": 1e-12}
    single, every = Blockwise(choose=choose, **options), Blockwise(blocks="all", **options)
    grid, expected, found = [0.25, 0.75], 0.0, 0.0
    ranges = [(0, 4), (4, columns)]

    def loss(objective, **recorded):
        n = ask(objective, b, **recorded)
        return float((n.weight * Hash().score(n.query, n.query_positions, n.targets).nll).sum() / n.count)

    for t in grid:
        for block, (start, end) in enumerate(ranges):
            share = 0.5 if choose == "uniform" else (end - start) / columns
            middle = (block + 0.5) / 2 if choose == "uniform" else (start + 0.5) / columns
            for u, hits in patterns(range(2 + start, 2 + end), b):
                chance = t**hits * (1 - t) ** (end - start - hits)
                expected += share * chance * loss(single, t=[t], block=[middle], mask=u) / len(grid)
        for u, hits in patterns(range(2, 2 + columns), b):
            found += t**hits * (1 - t) ** (columns - hits) * loss(every, t=[t], mask=u) / len(grid)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_view_for_each_block_by_hand():
    """Three blocks of an answer of 12, one of an answer of 4: a noise level each, weights 1 / t over 12 and 4."""
    b = lay((1, 12), (1, 4))
    n = texts_ask(Blockwise(block_size=4, blocks="all", weighting="elbo"), b, seed=1)
    clean = b.ids.tolist()
    assert n.query.ids.shape == (4, 13)  # the second example's row is left out of the views it has no block for
    assert (n.query.ids[0, 5:] == M).all()
    assert n.query.ids[2, :5].tolist() == clean[0][:5]
    assert n.query.ids[3, :9].tolist() == clean[0][:9]
    order, block = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 2, 0])
    t = 1e-3 + (1 - 1e-3) * Draws(seed=1).stratified("t", order, block)
    length = torch.tensor([12.0, 4.0])[n.example]
    number = torch.where(n.example == 1, 3, (n.query_positions[:, 1] - 1) // 4)
    torch.testing.assert_close(n.weight, (1 / t[number] / length).float())
    assert float(n.count) == pytest.approx(2)


def loop(lm, batch, seed, weighting):
    """(clean prefix, noisy block) in a forward each, from the stock module with its mask and its shift by hand."""
    draws, total = Draws(seed=seed), 0.0
    for example in range(len(batch.order)):
        here = batch.owner == example
        clean, prompt = batch.ids[here], int((here & ~batch.is_canvas).sum())
        length, order, sums = int(batch.filled_length[example]), batch.order[example], []
        for block in range(length // 4):
            t = 1e-3 + (1 - 1e-3) * draws.stratified("t", order, torch.tensor(block))
            offset = torch.arange(4 * block, 4 * block + 4)
            is_hidden = draws.uniform("mask", order, offset) < t
            ids = clean[: prompt + 4 * block + 4].clone()
            ids[prompt + offset[is_hidden]] = lm.mask_id
            number = ((torch.arange(len(ids)) - prompt) // 4).clamp(min=-1)
            sees = (number[None, :] <= number[:, None])[None, None]
            logits = lm.model(input_ids=ids[None], attention_mask=sees, use_cache=False).logits[0]
            logits = torch.cat([logits[:1], logits[:-1]]) if lm.shift else logits
            ce = torch.nn.functional.cross_entropy(logits, clean[: len(ids)], reduction="none")
            ce = ce[prompt + offset[is_hidden]].sum()
            sums.append(ce / t / length if weighting == "elbo" else ce / max(int(is_hidden.sum()), 1) * 4 / length)
        total = total + sum(sums)
    return total / len(batch.order)


def parts(lm, objective, batch, seed):
    n = objective.noise(batch, model=lm, draws=Draws(seed=seed), progress=0)
    loss = objective.loss(lm.score(n.query, n.query_positions, n.targets), n) / n.count
    return loss, torch.autograd.grad(loss, lm.model.parameters())


def same(one, other):
    torch.testing.assert_close(one[0].double(), other[0].double(), rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(one[1], other[1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


SHAPES = [(3, 8), (0, 5), (5, 12), (2, 1)]


@pytest.mark.parametrize("weighting", ["per_masked", "elbo"])
@pytest.mark.parametrize("name", ["llama", "llama-shifted"])
def test_two_streams_are_the_loop_over_blocks(name, weighting):
    """Loss and gradients on a block-causal model, padded, packed, and as views."""
    lm, options = tiny(name, "block_causal"), {"block_size": 4, "blocks": "all", "weighting": weighting}
    padded, packed = lay(*SHAPES), lay(*SHAPES, row_length=40)
    assert packed.ids.shape[0] < padded.ids.shape[0]
    expected = loop(lm, padded, 3, weighting)
    reference = expected, torch.autograd.grad(expected, lm.model.parameters())
    for layout in ("two_streams", "views"):
        for batch in (padded, packed):
            same(parts(lm, Blockwise(layout=layout, **options), batch, 3), reference)


@pytest.mark.parametrize("inner", [Lift(), Lift(components=2, approximate=True), Gift(), Papl()], ids=str)
def test_two_streams_are_the_views_for_every_inner_method(inner):
    """Scores and entropies, too, are read with clean earlier blocks."""
    lm, options = tiny("llama", "block_causal"), {"block_size": 4, "blocks": "all", "inner": inner}
    views = parts(lm, Blockwise(layout="views", **options), lay(*SHAPES), 2)
    for length in (None, 40):
        same(parts(lm, Blockwise(layout="two_streams", **options), lay(*SHAPES, row_length=length), 2), views)


def test_views_are_exact_for_bidirectional_models_packed_and_padded():
    lm, objective = tiny("qwen2-shifted"), Blockwise(block_size=4, blocks="all", weighting="elbo")
    same(parts(lm, objective, lay(*SHAPES), 1), parts(lm, objective, lay(*SHAPES, row_length=40), 1))


def test_two_streams_make_a_model_block_causal():
    assert Blockwise(blocks="all", layout="two_streams").attention == "block_causal"
    assert Blockwise(blocks="all").attention is None
    counts_itself = Traits(shift=False, attention="bidirectional", takes_positions=False)
    assert "positions" in Blockwise(blocks="all", layout="two_streams").refuses(counts_itself)
    assert Blockwise(blocks="all").refuses(counts_itself) is None
