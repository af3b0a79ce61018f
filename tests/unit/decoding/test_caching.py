"""Caches: exact ones change nothing, approximate ones say how much; columns are read as often as documented."""

import pytest
import torch

from toys import Hash, pseudo_random
from unmask.core.attention import BIDIRECTIONAL, BlockCausal
from unmask.core.attention_rules import ContextCausal
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, decode, measure_drift
from unmask.errors import UserError
from unmask.generate import generate
from unmask.heads import SoftMask
from unmask.models import ScratchSpec, from_scratch

PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 1]]
CANVAS, BLOCK = 14, 4
HOW = {
    "quota": {},
    "threshold": {"threshold": 0.2},
    "eos": {"stop": "eos", "threshold": 0.1},
    "whole": {"blocks": "whole"},
    "off the grid": {"block_size": 3},
    "cut": {"blocks": {"name": "adablock", "delimiters": list(range(8)), "threshold": 0.0}},
    "edited": {"threshold": 0.05, "revision": {"name": "edit", "threshold": 0.3, "max_post_steps": 2}},
    "sampled": {"temperature": 1.0},
    "guided": {"view": {"name": "cfg", "scale": 0.5}},
    "sliding": {"blocks": "sliding", "threshold": 0.2},
}


class ShiftedHash(Hash):
    """Answers for a column from what the column before it sees."""

    def predict(self, query, query_positions):
        return super().predict(
            query, torch.stack([query_positions[:, 0], (query_positions[:, 1] - 1).clamp(min=0)], dim=1)
        )


class Layers(Hash):
    """What is kept of a column depends on what it saw when it was read: the states of a model with one layer."""

    def predict(self, query, query_positions):
        ids, position, allowed = self.text(query)
        code = ((position + 1) * 7919 + ids * 104729) % 1000003
        own = torch.where(allowed, code[:, None], 0).sum(2) % 1000003
        if query.past is None:
            states = own
        else:
            store, rows = query.past.store, query.past.rows
            if not hasattr(store, "states"):
                store.states = torch.zeros_like(store.ids)
            index = torch.arange(len(store.ids)) if rows is None else rows
            store.states[index[:, None], query.past.column] = own
            states = store.states[index, : allowed.shape[2]]
        row, column = query_positions.unbind(1)
        seen = torch.where(allowed[row, column], states[row], 0).sum(1)
        return pseudo_random(seen * 31 + query.columns.position[row, column], self.vocab_size)

    def store(self, rows, columns):
        store = super().store(rows, columns)
        select = store.select

        def both(index):
            select(index)
            store.states = store.states[index]

        store.select = both
        return store


def model(attention="block_causal", shift=False, architecture="llama", **fields):
    spec = ScratchSpec(
        architecture=architecture, hidden_size=32, layers=2, heads=4, kv_heads=2, init_std=0.3, seed=3, **fields
    )
    return from_scratch(spec, shift=shift, attention=attention)


def canvas(prompts=PROMPTS, length=CANVAS, block=BLOCK, filler_id=9):
    examples = [Example(prompt=p, answer=(), order=o, canvas=length) for o, p in enumerate(prompts)]
    return lay_out(examples, block_size=block, filler_id=filler_id)


def trace(lm, fields, *, cache, batch=None, is_open=None):
    batch = canvas() if batch is None else batch
    resolved = Decoder(**{"block_size": BLOCK, "stop": "never", "cache": cache, **fields}).resolve()
    with torch.no_grad():
        return list(decode(lm, batch, resolved, draws=Draws(seed=0), is_open=is_open))


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.at, b.at)
        assert torch.equal(a.tokens, b.tokens)


class Spy:
    """Compares the logits of every forward with those of a reading without a cache."""

    def __init__(self, cache):
        self.cache, self.worst, self.queried = cache, 0.0, 0

    def open(self, lm):
        self.reader, self.lm = self.cache.open(lm), lm
        return self

    @property
    def forwards(self):
        return self.reader.forwards

    def logits(self, query, query_positions, *, state, rows):
        cached = self.reader.logits(query, query_positions, state=state, rows=rows)
        self.worst = max(self.worst, float((cached - self.lm.logits(query, query_positions)).abs().max()))
        self.queried += len(query_positions)
        return cached


def spy(name, **fields):
    from unmask.decoding import CACHES

    return Spy(CACHES[name](**fields))


@pytest.mark.parametrize("fields", HOW.values(), ids=HOW)
@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("attention", ["block_causal", "context_causal"])
@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_block_is_exact_on_real_models(architecture, attention, shift, fields):
    lm = model(attention, shift, architecture)
    watching = spy("block")
    same(trace(lm, fields, cache=watching), trace(lm, fields, cache="none"))
    assert watching.queried > 0
    assert watching.worst <= 1e-5


@pytest.mark.parametrize("fields", HOW.values(), ids=HOW)
@pytest.mark.parametrize("rule", [BlockCausal(), ContextCausal()], ids=["block", "context"])
@pytest.mark.parametrize("toy", [Hash, ShiftedHash, Layers])
def test_block_is_exact_on_toys(toy, rule, fields):
    options = {"rule": rule, "shift": toy is ShiftedHash}
    cached, plain = toy(**options), toy(**options)
    same(trace(cached, fields, cache="block"), trace(plain, fields, cache="none"))
    assert cached.forwards == plain.forwards
    assert cached.read < plain.read


@pytest.mark.parametrize("cache", ["prefix", "dual"])
@pytest.mark.parametrize("fields", HOW.values(), ids=HOW)
@pytest.mark.parametrize("shift", [False, True])
def test_refreshed_at_every_step_they_are_none(cache, fields, shift):
    lm = model("bidirectional", shift)
    watching = spy(cache, refresh_every=1)
    same(trace(lm, fields, cache=watching), trace(lm, fields, cache="none"))
    assert watching.worst <= 1e-5


@pytest.mark.parametrize("cache", ["prefix", "dual"])
@pytest.mark.parametrize("shift", [False, True])
def test_they_are_none_where_nothing_stands_outside_the_block(cache, shift):
    """No prompt, and the whole canvas is one block. With a prompt its states change with the block, and go stale."""
    lm = model("bidirectional", shift)
    alone = spy(cache)
    trace(lm, {"blocks": "whole"}, cache=alone, batch=canvas([[]]))
    assert alone.worst <= 1e-5
    stale = spy(cache)
    trace(lm, {"blocks": "whole"}, cache=stale, batch=canvas([[1, 2, 3]]))
    assert stale.worst > 1e-3


@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_they_are_exact_where_blocks_do_not_see_later_ones(cache):
    lm = model("block_causal")
    watching = spy(cache)
    same(trace(lm, HOW["threshold"], cache=watching), trace(lm, HOW["threshold"], cache="none"))
    assert watching.worst <= 1e-5


@pytest.mark.parametrize("cache", ["block", "prefix", "dual"])
@pytest.mark.parametrize("fields", HOW.values(), ids=HOW)
@pytest.mark.parametrize("shift", [False, True])
def test_a_row_does_not_depend_on_its_neighbours(cache, fields, shift):
    """Rows at different blocks, rows that refresh while others do not, rows that end early."""
    lm = model("block_causal" if cache == "block" else "bidirectional", shift)
    options = {"max_new_tokens": CANVAS, "block_size": BLOCK, "cache": cache, **fields}
    together = generate(lm, PROMPTS, **options)
    for row, prompt in enumerate(PROMPTS):
        if "temperature" in fields and row:
            continue  # a row's noise is keyed by its place
        assert generate(lm, [prompt], **options).answers[0].tolist() == together.answers[row].tolist()


@pytest.mark.parametrize("cache", ["block", "prefix", "dual"])
@pytest.mark.parametrize("shift", [False, True])
def test_given_tokens_stay_and_blocks_without_open_places_are_read_once(cache, shift):
    lm = model("block_causal" if cache == "block" else "bidirectional", shift)
    batch = canvas()
    batch.ids[batch.offset == 1] = 7
    batch.ids[(batch.offset >= 4) & (batch.offset < 10)] = 5
    is_open = batch.is_canvas & (batch.offset != 1) & ~((batch.offset >= 4) & (batch.offset < 10))
    watching = spy(cache) if cache == "block" else spy(cache, refresh_every=1)
    steps = trace(lm, {}, cache=watching, batch=batch, is_open=is_open)
    same(steps, trace(lm, {}, cache="none", batch=batch, is_open=is_open))
    assert watching.worst <= 1e-5
    assert torch.equal(steps[-1].state.ids[~is_open], batch.ids[~is_open])


def test_columns_that_block_reads():
    """A prompt of 5, then blocks of 4 on a canvas of 12: 5 + 4, three of 4, twice a finished block with the next."""
    lm = model()
    lm.store(1, 1)
    lm.flops.reset()
    trace(lm, {}, cache="block", batch=canvas([[1, 2, 3, 4, 5]], length=12))
    assert lm.flops.forwards == 12
    assert lm.flops.tokens == (5 + 4) + 3 * 4 + 2 * (8 + 3 * 4)


def test_a_shifted_model_reads_no_more():
    lm = model(shift=True)
    lm.store(1, 1)
    lm.flops.reset()
    trace(lm, {}, cache="block", batch=canvas([[1, 2, 3, 4, 5]], length=12))
    assert lm.flops.tokens == (5 + 4) + 3 * 4 + 2 * (8 + 3 * 4)


@pytest.mark.parametrize(("cache", "shift", "columns"), [
    ("dual", False, 3 * (17 + 3 * 4)),
    ("dual", True, 3 * (17 + 3 * 5)),
    ("prefix", False, 3 * 17 + 3 * (12 + 8 + 4)),
])  # fmt: skip
def test_columns_that_refreshed_caches_read(cache, shift, columns):
    """A prompt of 5 and a canvas of 12: 17 at the start of each of 3 blocks, then the block (and its suffix)."""
    toy = (ShiftedHash if shift else Hash)(rule=BIDIRECTIONAL, shift=shift)
    trace(toy, {}, cache=cache, batch=canvas([[1, 2, 3, 4, 5]], length=12))
    assert toy.read == columns


def test_rows_that_ended_are_not_read():
    lm = model()
    steps = trace(lm, HOW["eos"], cache="none")
    live = [len(step.live) for step in steps]
    assert min(live) < max(live)
    toy = Layers(rule=BlockCausal())
    steps = trace(toy, HOW["eos"], cache="block")
    assert toy.rows == [len(step.live) for step in steps]


def test_no_mask_of_the_whole_text_is_made(monkeypatch):
    """And none at all where every column sees all that is kept."""
    lm = model()
    lm.store(1, 1)
    made = []
    real = lm._attention

    def attention(query):
        made.append((query.ids.shape[1], real(query)))
        return made[-1][1]

    monkeypatch.setattr(lm, "_attention", attention)
    trace(lm, {}, cache="block", batch=canvas([[1, 2, 3]], length=16))
    widths = [width for width, _ in made]
    assert widths == [7, 4, 4, 4] + [8, 4, 4, 4] * 3
    assert [mask is None for _, mask in made] == [width == 4 for width in widths]


@pytest.mark.parametrize("cache", ["block", "dual"])
@pytest.mark.parametrize("shift", [False, True])
def test_soft_masks_are_read_with_every_cache(cache, shift):
    lm = model("block_causal" if cache == "block" else "bidirectional", shift)
    lm.attach("soft_mask", {})
    head = lm.heads["soft_mask"]
    assert isinstance(head, SoftMask)
    with torch.no_grad():
        head.raw_scale.fill_(4.0)
        head.raw_steepness.fill_(-8.0)  # about half of every mask gives way, whatever the entropy
    watching = spy("block") if cache == "block" else spy("dual", refresh_every=1)
    fields = {"view": "soft_mask", "threshold": 0.3}
    same(trace(lm, fields, cache=watching), trace(lm, fields, cache="none"))
    assert watching.worst <= 1e-5
    texts = [
        trace(lm, {**fields, "view": view}, cache=cache)[-1].state.ids.tolist() for view in ("soft_mask", "canvas")
    ]
    assert texts[0] != texts[1]


def test_text_that_changes_behind_the_active_block_is_read_anew():
    """As a revision or a search might: the store must not remember what is no longer there."""
    from unmask.decoding import CACHES, CanvasView
    from unmask.decoding.loop import advance, start

    lm, batch = model(), canvas()
    resolved = Decoder(block_size=BLOCK, cache="block").resolve()
    state, _ = advance(start(batch, lm.mask_id, batch.offset >= 8), resolved, Draws(seed=0), index=0, eos_ids=(9,))
    rows = torch.arange(3)
    at = torch.stack([rows, batch.is_canvas.long().argmax(1) + 8], dim=1)
    reader = CACHES["block"]().open(lm)
    for changed in (None, (0, len(PROMPTS[0]) + 5), (1, 0), (0, len(PROMPTS[0]) + 5)):
        if changed:
            state.ids[changed] = (state.ids[changed] + 1) % 7
        query, queried = CanvasView().query(lm, state, rows, at)
        with torch.no_grad():
            wanted, found = lm.logits(query, queried), reader.logits(query, queried, state=state, rows=rows)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_drift_is_zero_for_exact_caches_and_reported_for_the_others():
    """Random models drift more than trained ones: nearly flat distributions turn at a touch."""
    found = {}
    for cache, attention in (("block", "block_causal"), ("prefix", "bidirectional"), ("dual", "bidirectional")):
        resolved = Decoder(block_size=BLOCK, stop="never", cache=cache).resolve()
        found[cache] = measure_drift(model(attention), canvas(), resolved, draws=Draws(seed=0))
    assert found["block"].logits <= 1e-5
    assert (found["block"].tokens, found["block"].text) == (0.0, 0.0)
    for cache in ("prefix", "dual"):
        assert found[cache].logits > 0.1
        assert 0 < found[cache].tokens < 0.5
        assert 0 <= found[cache].text < 1


def test_drift_of_staleness_by_hand():
    """One prompt column, two open ones in one block: the prompt's state goes stale when the first is written."""
    toy = Layers(rule=BIDIRECTIONAL)
    batch = canvas([[1]], length=2, block=2)
    resolved = Decoder(block_size=2, stop="never", cache="dual").resolve()
    drift = measure_drift(toy, batch, resolved, draws=Draws(seed=0))
    assert drift.logits > 0
    assert drift.tokens in (0.0, 1 / 3)
    assert drift.text in (0.0, 0.5)


def test_the_default_is_the_fastest_exact_cache():
    for attention, cache in (("block_causal", "block"), ("context_causal", "block"), ("bidirectional", "none")):
        lm = model(attention)
        assert lm.exact_cache == cache
        assert Decoder().resolve(exact_cache=lm.exact_cache).cache.name == cache
    lm = model()
    lm.flops.reset()
    default = generate(lm, PROMPTS, max_new_tokens=CANVAS, block_size=BLOCK)
    spent = lm.flops.tokens
    plain = generate(lm, PROMPTS, max_new_tokens=CANVAS, block_size=BLOCK, cache="none")
    assert spent < lm.flops.tokens - spent
    assert [a.tolist() for a in default.answers] == [a.tolist() for a in plain.answers]
    assert Decoder(cache="none").resolve(exact_cache="block").cache.name == "none"


def test_a_cache_that_a_model_cannot_have_is_refused():
    with pytest.raises(UserError, match="cache 'block': expected a block-causal, .* use 'dual' or 'prefix'"):
        trace(model("bidirectional"), {}, cache="block")
    lm = model()
    lm.attach("confidence", {"taps": 1})
    with pytest.raises(UserError, match="the head 'confidence' reads the whole text at once; use the cache 'none'"):
        trace(lm, {}, cache="block")
    assert lm.exact_cache == "none"
    with pytest.raises(UserError, match="refresh_every: expected at least 1, found 0"):
        Decoder(cache={"name": "dual", "refresh_every": 0})
