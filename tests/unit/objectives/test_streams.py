"""Two streams in one row are the per-block loop of (clean prefix, noisy block) forwards, and decoding's own states."""

import json
from dataclasses import replace

import pytest
import torch
from texts import END, MODELS, M, causal, lay, tiny

from toys import Hash
from unmask.config.components import choose
from unmask.core.attention import CLEAN, OPEN, PAD, BlockCausal
from unmask.core.attention_rules import BlockDiffusion, Causal, ContextCausal
from unmask.core.protocols import Traits
from unmask.core.random import Draws
from unmask.data import Encoded
from unmask.decoding.defaults import CanvasView
from unmask.decoding.loop import start
from unmask.models import load
from unmask.objectives import OBJECTIVES
from unmask.objectives.base import Schedule
from unmask.objectives.streams import Streams
from unmask.train import Layout, TrainRun, train

SHAPES = [(3, 8), (0, 5), (5, 12), (2, 1)]
RULES = {"block_causal": BlockDiffusion(), "context_causal": ContextCausal()}
each_model = pytest.mark.parametrize("name", MODELS)
each_layout = pytest.mark.parametrize("packed", [None, 40], ids=["padded", "packed"])
each_rule = pytest.mark.parametrize("attention", RULES)


def every_block(batch, seed=0, **options):
    """All blocks of a batch in two streams."""
    return Streams(**options).regions(batch, Schedule(), draws=Draws(seed=seed), progress=0.0)[0]


def streams(batch, rate=0.6, model=None, seed=0, **options):
    """Two streams with a share of the response hidden."""
    region = every_block(batch, seed, **options)
    coin = Draws(seed=seed).uniform("coin", batch.spread(batch.order), batch.offset)
    query, column = region.ask(model or Hash(), region.is_response & (coin < rate))
    return region, query, column


def columns_of(query, row=0):
    c = query.columns
    shown = zip(query.ids[row], c.position[row], c.block[row], c.stream[row], strict=True)
    return [tuple(map(int, column)) for column, s in zip(shown, c.segment[row], strict=True) if s != PAD]


def test_layout_by_hand():
    """A prompt of 2 and blocks of 2: its clean text without the last block, then all blocks noisy."""
    batch = lay((2, 4), block=2)
    batch.ids[:] = torch.tensor([[1, 2, 3, 4, 5, END]])
    region = every_block(batch)
    query, column = region.ask(Hash(), torch.tensor([[False, False, True, False, False, True]]))
    assert columns_of(query) == [
        (1, 0, -1, CLEAN), (2, 1, -1, CLEAN), (3, 2, 0, CLEAN), (4, 3, 0, CLEAN),
        (M, 2, 0, OPEN), (4, 3, 0, OPEN), (5, 4, 1, OPEN), (M, 5, 1, OPEN),
    ]  # fmt: skip
    assert column[0, 2:].tolist() == [4, 5, 6, 7]
    # The first token of a block is read off the clean text, the others off their own block.
    assert query.before.tolist() == [[0, 0, 1, 2, 1, 4, 3, 6]]
    noisy = replace(region, first_from="noisy").ask(Hash(), region.is_response)[0].before
    assert noisy.tolist() == [[0, 0, 1, 2, 1, 4, 5, 6]]
    kept, _ = replace(region, keep_last=True).ask(Hash(), region.is_response)
    assert [column[:3] for column in columns_of(kept)[:6]] == [
        (t, i, (i - 2) // 2) for i, t in enumerate([1, 2, 3, 4, 5, END])
    ]
    assert kept.before.tolist() == [[0, 0, 1, 2, 3, 4, 1, 6, 3, 8]]


def test_layout_of_a_packed_row_by_hand():
    """Without a prompt and with a single block there is no clean text; documents keep their numbers."""
    batch = lay((0, 2), (1, 4), block=2, row_length=7)
    batch.ids[:] = torch.tensor([[4, 5, 6, 7, END, 8, END]])  # the longer example comes first
    region = every_block(batch)
    query, column = region.ask(Hash(), torch.tensor([[False, True, False, False, False, True, False]]))
    assert query.ids.tolist() == [[4, 5, 6, M, 6, 7, END, M, END]]
    assert query.columns.segment.tolist() == [[1, 1, 1, 1, 1, 1, 1, 0, 0]]
    assert query.columns.stream.tolist() == [[CLEAN] * 3 + [OPEN] * 6]
    assert query.columns.position.tolist() == [[0, 1, 2, 1, 2, 3, 4, 0, 1]]
    assert query.before.tolist() == [[0, 0, 1, 0, 3, 2, 5, 7, 7]]
    assert column[0].tolist()[1:] == [3, 4, 5, 6, 7, 8]


@each_layout
def test_a_row_is_at_most_twice_its_text(packed):
    batch = lay(*SHAPES, row_length=packed)
    _, query, _ = streams(batch)
    real = (query.columns.segment != PAD).sum()
    length, last = batch.filled_length, (batch.filled_length - 1) // 4 * 4
    prompts = int((~batch.is_canvas & ~batch.is_pad).sum())
    assert int(real) == prompts + int(last.sum()) + int(length.sum())


def logits(lm, batch, region, query, column):
    at = region.is_response.nonzero()
    with torch.no_grad():
        return lm.logits(query, torch.stack([at[:, 0], column[region.is_response]], dim=1)), at


def assert_equal(one, other):
    """Another order of the same sums."""
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@each_model
@each_layout
@each_rule
def test_one_pass_equals_the_loop_over_clean_prefix_and_noisy_block(name, packed, attention):
    """5.1 (f): each block alone, as the single text of a decoder that has settled everything before it."""
    lm = tiny(name, attention)
    batch = lay(*SHAPES, row_length=packed)
    region, query, column = streams(batch, model=lm, rule=RULES[attention])
    answers, at = logits(lm, batch, region, query, column)
    noisy = torch.zeros_like(batch.ids)
    noisy[region.is_response] = query.ids[at[:, 0], column[region.is_response]]
    for k in range(int(batch.block.max()) + 1):
        is_now = region.is_response & (batch.block == k)
        is_context = batch.block < k
        whole = batch.query(torch.where(is_now, noisy, batch.ids), lm.rule, is_context=is_context)
        is_after = batch.block > k  # cut off: what is no column cannot be seen
        segment = torch.where(is_after, PAD, whole.columns.segment)
        alone = replace(whole, columns=replace(whole.columns, segment=segment))
        with torch.no_grad():
            expected = lm.logits(alone, is_now.nonzero())
        assert_equal(answers[is_now[region.is_response]], expected)
        assert len(expected)


@pytest.mark.parametrize("name", ["llama-shifted", "qwen2-shifted"])
def test_first_tokens_may_be_read_off_the_noisy_block_before(name):
    """As released by Fast-dLLM v2: the state is that of the last token of the noisy block before, seen by its block."""
    lm = tiny(name, "block_causal")
    batch = lay((3, 12))
    region, query, column = streams(batch, model=lm, first_from="noisy")
    answers, at = logits(lm, batch, region, query, column)
    clean, _ = logits(lm, batch, region, *streams(batch, model=lm)[1:])
    noisy = batch.ids.clone()
    noisy[region.is_response] = query.ids[0, column[region.is_response]]
    first = [k for k, (_, c) in enumerate(at.tolist()) if batch.offset[0, c] in (4, 8)]
    for k in first:
        block = int(batch.block[0, at[k, 1]])
        is_before = batch.block == block - 1
        text = batch.query(torch.where(is_before, noisy, batch.ids), lm.rule)
        with torch.no_grad():
            expected = lm.logits(text, at[k : k + 1])
        assert_equal(answers[k : k + 1], expected)
        assert (answers[k] - clean[k]).abs().max() > 1e-3
    rest = [k for k in range(len(at)) if k not in first]
    assert torch.equal(answers[rest], clean[rest])


@each_model
@each_rule
def test_a_noisy_block_knows_neither_later_clean_text_nor_other_noisy_blocks(name, attention):
    """5.1 (b)."""
    lm = tiny(name, attention)
    batch = lay((3, 12), (2, 12), row_length=29)
    region, query, column = streams(batch, model=lm, rule=RULES[attention], keep_last=True)
    before, at = logits(lm, batch, region, query, column)
    block = batch.block[region.is_response]
    owner = batch.owner[region.is_response]
    c = query.columns
    for k in range(3):
        mine = (block == k) & (owner == 0)
        is_hidden_from = (
            (c.segment == 1) | ((c.stream == CLEAN) & (c.block >= k)) | ((c.stream == OPEN) & (c.block != k))
        )
        changed = replace(query, ids=torch.where(is_hidden_from, (query.ids + 3) % 9, query.ids))
        after, _ = logits(lm, batch, region, changed, column)
        assert_equal(after[mine], before[mine])
        assert (after[~mine] - before[~mine]).abs().max() > 1e-2
        is_context = (c.segment == 0) & (c.stream == CLEAN) & (c.block < k)
        moved, _ = logits(
            lm, batch, region, replace(query, ids=torch.where(is_context, (query.ids + 3) % 9, query.ids)), column
        )
        assert (moved[mine] - before[mine]).abs().max() > 1e-2


@each_model
@each_rule
def test_the_clean_stream_does_not_know_the_noisy_one(name, attention):
    """5.1 (c); and it is an autoregressive model's under ``context_causal`` (5.5), else that of the plain text."""
    lm = tiny(name, attention)
    batch = lay((3, 8), (5, 4), row_length=20)
    region, query, _ = streams(batch, model=lm, rule=RULES[attention], keep_last=True)
    inside = batch.is_canvas & (batch.position > 0)
    at = torch.stack([inside.nonzero()[:, 0], region.clean_column[inside]], dim=1)
    other = replace(query, ids=torch.where(query.columns.stream == OPEN, (query.ids + 3) % 9, query.ids))
    plain = causal(batch, Causal() if attention == "context_causal" else BlockCausal())
    with torch.no_grad():
        clean = lm.logits(query, at)
        assert torch.equal(lm.logits(other, at), clean)
        assert_equal(clean, lm.logits(plain, inside.nonzero()))


def test_models_that_count_positions_are_refused():
    traits = Traits(shift=True, attention="block_causal", takes_positions=False)
    for name in ("block_diffusion", "fast_dllm_v2", "nbdiff", "wsd", "sdlm"):
        reason = OBJECTIVES[name]().refuses(traits)
        assert reason.startswith(f"{name} reads several copies of a text in one row")
        assert "\n" not in reason
        assert OBJECTIVES[name]().refuses(replace(traits, takes_positions=True)) is None


TRAINED = {
    "block_diffusion": {"block_size": 4},
    "fast_dllm_v2": {"block_size": 4},
    "nbdiff": {"block_size": 4, "grow_until": 0.0},
    "wsd": {"block_size": 4, "warmup": 0.0, "decay": 1.0},
    "blockwise": {"block_size": 4, "blocks": "all", "layout": "two_streams"},
}


@pytest.mark.parametrize("shift", [False, True], ids=["aligned", "shifted"])
@pytest.mark.parametrize("name", TRAINED)
def test_training_mirrors_decoding(name, shift, tmp_path):
    """Trained, saved and loaded, a model attends as its method says, and decoding meets the very states of training."""
    if name == "nbdiff" and not shift:
        pytest.skip("its next-token loss needs shifted logits")
    objective = choose(OBJECTIVES, {"name": name, **TRAINED[name]})
    lm = tiny("llama-shifted" if shift else "llama")
    rows = [Encoded(prompt=[1, 2, 3], answer=[4, 5, 6, 7, 8, lm.filler_id], source=f"row {i}") for i in range(4)]
    run = TrainRun(objective=objective, steps=2, batch_size=2, lr=1e-3)
    result = train(lm, rows, run, out=tmp_path / "run", layout=Layout(), show=False)
    lm = load(result.model)
    assert lm.facts.attention == ("context_causal" if name == "nbdiff" else "block_causal")
    assert lm.facts.block_size == 4
    assert json.loads((result.model / "config.json").read_text())["unmask"]["attention"] == lm.facts.attention

    batch = lay((3, 8), (5, 8), (1, 8), end=lm.filler_id, tail=4)
    noised = objective.noise(batch, model=lm, draws=Draws(seed=3), progress=1.0)
    if name == "fast_dllm_v2":
        noised = noised.only(noised.query_positions[:, 0] < len(batch.order))
    is_open = noised.query.columns.stream[noised.query_positions[:, 0], noised.query_positions[:, 1]] == OPEN
    noised = noised.only(is_open)
    with torch.no_grad():
        trained = lm.logits(noised.query, noised.query_positions)
    column = noised.query.columns.position[noised.query_positions[:, 0], noised.query_positions[:, 1]]
    blocks = batch.block[noised.query_positions[:, 0], column]
    firsts = 0
    for block in (0, 1):
        mine = blocks == block
        ids = torch.where(batch.block < block, batch.ids, lm.mask_id)  # what comes before is written, the rest is open
        ids = torch.where(batch.is_canvas, ids, batch.ids)
        seen = noised.query.columns
        is_here = (seen.stream == OPEN) & (seen.block == block) & (seen.segment != PAD)
        for row, place in is_here[: len(ids)].nonzero().tolist():  # what of the block is written already
            ids[row, seen.position[row, place]] = noised.query.ids[row, place]
        at = torch.stack([noised.query_positions[mine, 0], column[mine]], dim=1)
        state = replace(
            start(batch, lm.mask_id), ids=ids, is_open=batch.is_canvas & (ids == lm.mask_id),
            block_start=torch.full_like(batch.order, 4 * block), block_end=torch.full_like(batch.order, 4 * block + 4),
        )  # fmt: skip
        query, queried = CanvasView().query(lm, state, torch.arange(len(ids)), at)
        with torch.no_grad():
            decoded = lm.logits(query, queried)
        assert_equal(trained[mine], decoded)
        firsts += int((batch.offset[at[:, 0], at[:, 1]] == 4 * block).sum())
    assert firsts  # among them the first token of a block, which a shifted model reads off the settled text
