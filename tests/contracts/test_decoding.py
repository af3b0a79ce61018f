"""Properties of decoding on toy models, over every registered part."""

from pathlib import Path

import pytest
import torch

from toys import AlwaysMask, Doubts, EndFirst, Half, Hash, Saturated, Table
from unmask.attention import BlockCausal
from unmask.canvas import Example, lay_out
from unmask.decoding import (
    BLOCK_RULES,
    CACHES,
    CONSTRAINTS,
    PROPOSALS,
    REVISIONS,
    SEARCHES,
    SELECTIONS,
    STOPS,
    VIEWS,
    Decoder,
    decode,
)
from unmask.decoding.scores import SCORES
from unmask.errors import UserError
from unmask.heads import SoftMask
from unmask.seeds import Draws

DECODERS = {
    **{f"selection-{name}": {"selection": name} for name in SELECTIONS},
    **{f"score-{name}": {"selection": {"name": "quota", "score": name}} for name in SCORES},
    **{f"blocks-{name}": {"blocks": name} for name in BLOCK_RULES},
    **{f"proposal-{name}": {"proposal": name} for name in PROPOSALS},
    **{f"revision-{name}": {"revision": name} for name in REVISIONS},
    **{f"stop-{name}": {"stop": name} for name in STOPS},
    **{f"cache-{name}": {"cache": name} for name in CACHES},
    **{f"view-{name}": {"view": name} for name in VIEWS},
    **{f"search-{name}": {"search": {"name": name, "particles": 1}} for name in SEARCHES if name != "none"},
    **{f"dream-{alg}": {"selection": {"name": "dream", "alg": alg}} for alg in ("maskgit_plus", "topk_margin")},
    "dream-random-origin": {"selection": {"name": "dream", "alg": "origin"}},
    "dream-random-alg_temp": {"selection": {"name": "dream", "alg_temp": 0.5}, "blocks": "whole", "steps": 5},
    "dilated-skip": {"selection": {"name": "dilated", "skip": 2}},
    "prefix-product": {"selection": {"name": "prefix", "by": "product", "threshold": 0.2}},
    "certain-prefix": {"selection": {"name": "prefix", "score": "certainty", "threshold": 0.1}},
    "adablock": {"blocks": {"name": "adablock", "delimiters": [3, 5], "threshold": 0.2, "window": 0.5}},
    "adablock-threshold": {"blocks": {"name": "adablock", "delimiters": [3, 5], "threshold": 0.1}, "threshold": 0.3},
    "swordsman": {"blocks": {"name": "swordsman", "jump": 0.05, "least": 1}, "selection": "swordsman"},
    "klass-eager": {"selection": {"name": "klass", "threshold": 0.1, "drift": 9.0, "calm": 1}},
    "hierarchical-low": {"selection": {"name": "hierarchical", "low": 0.1}, "blocks": "whole"},
    "credit-low": {"selection": {"name": "credit", "threshold": 0.3}},
    "pc_sampler-counts": {"selection": {"name": "pc_sampler", "frequencies": {3: 9, 5: 1}}, "steps": 8},
    "info_gain-gumbel": {"selection": "info_gain", "proposal": {"name": "gumbel", "temperature": 1.0}, "steps": 8},
    "info_gain-no_eos": {"selection": {"name": "info_gain", "choices": 3}, "proposal": "no_eos"},
    "spaced": {"selection": {"name": "spaced", "gap": 3, "inner": {"name": "threshold", "threshold": 0.1}}},
    "sliding-threshold": {"blocks": "sliding", "threshold": 0.3},
    "sliding-klass": {"blocks": "sliding", "selection": {"name": "klass", "threshold": 0.1, "drift": 9.0, "calm": 1}},
    "sliding-dual": {"blocks": "sliding", "threshold": 0.3, "cache": {"name": "dual", "look_back": 2}},
    "sliding-steps": {"blocks": "sliding", "steps": 8},
    "sliding-dream": {"blocks": "sliding", "selection": "dream", "steps": 8},
    "sliding-remedi": {"blocks": "sliding", "revision": "remedi", "threshold": 0.3},
    "sliding-edit": {"blocks": "sliding", "revision": {"name": "edit", "threshold": 0.1}, "threshold": 0.3},
    "wedlm": {
        "blocks": {"name": "sliding", "longest": 4},
        "selection": {"name": "wedlm", "threshold": 1.8},
        "view": "reordered",
    },
    "edit-everything": {"revision": {"name": "edit", "threshold": 0}, "threshold": 0.3},
    "edit-nothing": {"revision": {"name": "edit", "threshold": 1}},
    "remedi-threshold": {"revision": "remedi", "threshold": 0.3},
    "remedi-adablock": {"revision": "remedi", "blocks": {"name": "adablock", "delimiters": [3, 5], "threshold": 0.1}},
    "remedi-cfg": {"revision": "remedi", "view": "cfg"},
    "saber-threshold": {"revision": "saber", "threshold": 0.3, "blocks": "whole"},
    "saber-bold": {"revision": {"name": "saber", "share": 0.6}, "selection": {"name": "saber", "least": 4}},
    "wino-bold": {
        "revision": {"name": "wino", "threshold": 2},
        "selection": {"name": "wino", "threshold": 0.1},
        "blocks": "whole",
    },
    "wino-nothing": {"revision": {"name": "wino", "threshold": 0}, "cache": "dual"},
    "edit-shadow": {"revision": {"name": "edit", "threshold": 0.3}, "view": "shadow", "threshold": 0.3},
    "remdm-often": {"revision": {"name": "remdm", "eta": 0.5}, "blocks": "whole"},
    "remdm-rescale": {"revision": {"name": "remdm", "strategy": "rescale", "eta": 1}, "steps": 8},
    "remdm-conf": {"revision": {"name": "remdm", "strategy": "conf"}, "blocks": "whole"},
    "remdm-loop": {"revision": {"name": "remdm", "strategy": "loop", "eta": 0.1}, "blocks": "whole", "steps": 20},
    "remdm-quota": {"revision": {"name": "remdm", "eta": 0.3}, "selection": "quota"},
    "remdm-sliding": {"revision": {"name": "remdm", "eta": 0.3}, "blocks": "sliding"},
    "remdm_rounds-whole": {"revision": {"name": "remdm_rounds", "rounds": 4, "number": 2}, "blocks": "whole"},
    "anchored-prefix": {"view": "anchored", "selection": {"name": "prefix", "threshold": 0.2}},
    "anchored-edit": {"view": "anchored", "revision": {"name": "edit", "threshold": 0.3}, "threshold": 0.3},
    "dkv-threshold": {"cache": {"name": "dkv", "refresh_every": 3}, "threshold": 0.3},
    "dkv-saber": {"cache": "dkv", "revision": "saber", "blocks": "whole"},
    "late-gumbel": {"proposal": {"name": "late_eos", "inner": "gumbel"}},
    "shaped": {"proposal": {"name": "nucleus", "temperature": 0, "top_p": 0.5, "scores": "shaped"}},
    "steps": {"steps": 8},
    "threshold": {"threshold": 0.3},
}
every = pytest.mark.parametrize("fields", DECODERS.values(), ids=DECODERS)
SAMPLED = (
    "random",
    "gumbel",
    "'proposal': 'nucleus'",
    "'proposal': 'top_k'",
    "origin",
    "alg_temp",
    "info_gain",
    "remdm",
)
PARTS = [SELECTIONS, BLOCK_RULES, PROPOSALS, REVISIONS, VIEWS, CACHES, SEARCHES, CONSTRAINTS, STOPS]
UNFIXED = ("remedi", "edit", "saber", "wino", "remdm")  # revisions: a written token may be written again
WAITING = ("edit", "wino", "remdm")  # a step may leave no more written than there was
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 1]]


def canvas(prompts=PROMPTS, length=16, block=4, orders=None):
    orders = orders or range(len(prompts))
    examples = [Example(prompt=p, answer=(), order=o, canvas=length) for p, o in zip(prompts, orders, strict=True)]
    return lay_out(examples, block_size=block, filler_id=9)


def is_any(names, fields):
    return any(name in str(fields) for name in names)


def with_heads(model):
    """Give a toy the heads that some parts read."""
    model.heads.setdefault("confidence", Doubts(model))
    model.heads.setdefault("soft_mask", SoftMask(torch.nn.Identity()))
    return model


def run(model, fields=None, *, prompts=PROMPTS, length=16, seed=0, orders=None, is_open=None, **options):
    decoder = Decoder(**{"block_size": 4, "stop": "never", **(fields or {}), **options})
    if getattr(decoder.cache, "name", None) == "block":
        model.rule = BlockCausal()
    batch = canvas(prompts, length, 4, orders)
    steps = list(decode(with_heads(model), batch, decoder.parts(), draws=Draws(seed=seed), is_open=is_open))
    return batch, steps


def text(batch, steps):
    ids = steps[-1].state.ids
    return [ids[row][batch.offset[row] >= 0].tolist() for row in range(len(batch.order))]


@every
def test_prompt_and_padding_stay_and_no_mask_is_left(fields):
    model = Hash()
    batch, steps = run(model, fields)
    for step in steps:
        outside = ~batch.is_canvas
        assert torch.equal(step.state.ids[outside], batch.ids[outside])
    final = steps[-1].state
    assert (final.ids != model.mask_id).all()
    assert not final.is_open.any()
    assert final.is_done.all()
    assert sum(step.forwards for step in steps) == model.forwards


@every
def test_the_trace_tells_all_that_happened(fields):
    """Replayed, it gives every state; what is written was open, or taken back in the same step."""
    model = Hash()
    _, steps = run(model, fields)
    text = {}
    for step in steps:
        before = dict(text)
        back = set(map(tuple, step.taken_back.tolist()))
        assert back <= set(text)
        assert not (back and not is_any(UNFIXED, fields))
        for place in back:
            del text[place]
        for place, token in zip(map(tuple, step.at.tolist()), step.tokens.tolist(), strict=True):
            assert place not in text
            text[place] = token
        for row in step.live.tolist():
            written = sum(place[0] == row for place in before)
            assert sum(place[0] == row for place in text) > written or is_any(WAITING, fields)
        for (row, offset), token in text.items():
            assert step.state.ids[row, len(PROMPTS[row]) + offset] == token
    if fields.get("stop") != "eos":
        assert len(text) == 3 * 16


@every
def test_given_tokens_stay(fields):
    """Infilling: fixed tokens in the middle of a block, a whole block of them, and at the end."""
    batch = canvas(PROMPTS[:2])
    given = (batch.offset == 2) | ((batch.offset >= 4) & (batch.offset < 8)) | (batch.offset == 15)
    batch.ids[given] = 7
    decoder = Decoder(**{"block_size": 4, "stop": "never", **fields})
    model = with_heads(Hash(rule=BlockCausal()) if fields.get("cache") == "block" else Hash())
    steps = list(decode(model, batch, decoder.parts(), draws=Draws(seed=0), is_open=batch.is_canvas & ~given))
    final = steps[-1].state
    assert (final.ids[given] == 7).all()
    assert (final.ids != model.mask_id).all()
    assert not final.is_open.any()


@every
def test_low_precision_answers_are_scored_in_float32_at_least(fields):
    _, steps = run(Half(), fields)
    assert {step.scores.dtype for step in steps} <= {torch.float32, torch.float64}
    assert (steps[-1].state.ids != Half().mask_id).all()


@every
def test_a_batch_of_uneven_prompts_equals_single_runs(fields):
    batch, steps = run(Hash(), fields)
    together = text(batch, steps)
    for row, prompt in enumerate(PROMPTS):
        assert text(*run(Hash(), fields, prompts=[prompt], orders=[row])) == [together[row]]


@every
def test_temperature_zero_is_seed_free_and_seeds_repeat(fields):
    assert text(*run(Hash(), fields, seed=1)) == text(*run(Hash(), fields, seed=1))
    if not is_any(SAMPLED, fields):
        assert text(*run(Hash(), fields, seed=1)) == text(*run(Hash(), fields, seed=2))


@every
def test_the_mask_token_is_never_proposed(fields):
    model = AlwaysMask()
    _, steps = run(model, fields)
    assert (steps[-1].state.ids != model.mask_id).all()


@every
def test_early_stop_gives_the_full_run_up_to_its_first_end(fields):
    fields = {name: value for name, value in fields.items() if name != "stop"}
    batch, full = run(EndFirst(), fields)
    _, stopped = run(EndFirst(), fields, stop="eos")
    for whole, cut in zip(text(batch, full), text(batch, stopped), strict=True):
        end = whole.index(9) + 1 if 9 in whole else len(whole)
        assert cut[:end] == whole[:end]
        assert set(cut[end:]) <= {9}
    assert len(stopped) <= len(full)


@every
@pytest.mark.parametrize(("prompt", "length"), [([1], 3), ([1, 2], 16), ([], 5), ([1], 1), ([1, 2, 3], 6)])
def test_lengths_that_do_not_divide(fields, prompt, length):
    """Canvas shorter than a block, no multiple of it, one token; empty prompt."""
    if "steps" in fields:
        fields = {}
    batch, steps = run(Hash(), fields, prompts=[prompt], length=length)
    assert len(text(batch, steps)[0]) == length


@every
def test_a_row_without_anything_open_costs_nothing(fields):
    model = Hash()
    batch = canvas()
    assert run(model, fields, is_open=torch.zeros_like(batch.is_canvas))[1] == []
    assert model.forwards == 0


def test_any_order_of_a_table_gives_the_same_text():
    ordered = (fields for fields in DECODERS.values() if not is_any(("gumbel", "no_eos", *SAMPLED[2:4]), fields))
    texts = {str(text(*run(Table(), fields))) for fields in ordered}
    assert len(texts) == 1 + ("stop-eos" in DECODERS and text(*run(Table(), {"stop": "eos"})) != text(*run(Table())))


INF = float("inf")
FAMILY = {  # selection -> settings that write one token a step, and settings that write a block at once
    "threshold": ({"threshold": INF}, {"threshold": -INF}),
    "factor": ({"factor": 0}, {"factor": INF}),
    "entropy_bound": ({"cap": 1}, {"bound": INF}),
    "prefix": ({"threshold": INF}, {"threshold": -INF}),
    "klass": ({"threshold": INF}, {"threshold": -INF, "calm": 0}),
    "hierarchical": ({"low": INF, "threshold": INF}, {"threshold": -INF}),
    "credit": ({"threshold": INF}, {"threshold": -INF}),
    "info_gain": ({"choices": 1, "bypass": INF}, {"bypass": -INF}),
    "wedlm": ({"threshold": 0}, {"threshold": INF}),
    "wino": ({"threshold": INF}, {"threshold": -INF, "least": 20}),
    "saber": (None, {"least": 16}),
    "swordsman": ({"low": 2, "high": 2}, {"low": 0, "high": 0}),
    "dilated": (None, {"base": 99}),
}


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("block_size", [1, 4, 16])
def test_the_ends_of_the_scale_are_one_token_and_one_block_a_forward(name, block_size):
    one, block = FAMILY[name]
    if one is not None:
        model = Hash()
        _, steps = run(model, {"selection": {"name": name, **one}, "block_size": block_size})
        assert model.forwards == 16
        assert all(len(step.at) == 3 for step in steps)
    model = Hash()
    run(model, {"selection": {"name": name, **block}, "block_size": block_size})
    assert model.forwards == 16 // block_size


@pytest.mark.parametrize("name", SELECTIONS)
def test_blocks_of_one_go_left_to_right_whatever_selects(name):
    _, steps = run(Hash(), {"selection": name, "block_size": 1}, prompts=[[1]])
    assert [step.at[0, 1].item() for step in steps] == list(range(16))


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_saturated_model_is_decoded_to_the_end(name):
    batch, _ = found = run(Saturated(), {"selection": name})
    assert text(*found) == [[3] * 16] * len(batch.order)


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.kind)
def test_every_part_is_in_the_table_of_methods(kind):
    page = (Path(__file__).parents[2] / "docs/methods.md").read_text()
    rows = [row for row in page.splitlines() if row.startswith(f"| {kind.kind} ")]
    for name in kind:
        assert any(f"`{name}`" in row for row in rows), f"docs/methods.md has no row for the {kind.kind} '{name}'"


def test_quota_writes_exactly_its_quota():
    """5 open places and 3 steps: 2, 2, 1."""
    _, steps = run(Hash(), {"blocks": "whole", "steps": 3}, prompts=[[1]], length=5)
    assert [len(step.at) for step in steps] == [2, 2, 1]


def test_steps_beyond_the_tokens_are_not_run():
    model = Hash()
    run(model, {"steps": 64}, prompts=[[1]])
    assert model.forwards == 16


@pytest.mark.parametrize("length", [8, 16])
def test_threshold_at_infinity_is_one_token_a_step(length):
    batch, slow = run(Hash(), {"threshold": float("inf")}, length=length)
    _, plain = run(Hash(), {}, length=length)
    assert [s.at.tolist() for s in slow] == [s.at.tolist() for s in plain]
    assert len(slow) == length


def test_threshold_at_zero_is_one_forward_a_block():
    model = Hash()
    run(model, {"threshold": 0.0})
    assert model.forwards == 4


def test_blocks_of_one_go_left_to_right_and_whole_blocks_are_full_diffusion():
    _, steps = run(Hash(), {"block_size": 1}, prompts=[[1]])
    assert [s.at[0, 1].item() for s in steps] == list(range(16))
    _, whole = run(Hash(), {"blocks": "whole"}, prompts=[[1]])
    _, large = run(Hash(), {"block_size": 16}, prompts=[[1]])
    assert [s.at.tolist() for s in whole] == [s.at.tolist() for s in large]


def test_ties_go_to_the_leftmost_place():
    _, steps = run(Saturated(), {"blocks": "whole"}, prompts=[[1]], length=6)
    assert [s.at[0, 1].item() for s in steps] == list(range(6))


def test_a_saturated_model_at_threshold_one_writes_the_block_at_once():
    """Probabilities round to exactly 1: `1` does not mean one token a step."""
    model = Saturated()
    run(model, {"threshold": 1.0})
    assert model.forwards == 4


def test_only_open_places_of_the_active_block_are_asked_and_finished_rows_are_not_read():
    model = EndFirst()
    batch, steps = run(model, {"stop": "eos", "block_size": 4}, prompts=[[1, 2, 3], [4]])
    assert max(model.asked) <= 8
    assert model.rows[-1] <= 2
    done_at = [next(i for i, s in enumerate(steps) if s.state.is_done[row]) for row in range(2)]
    assert model.rows[min(done_at)] == 2
    if min(done_at) != max(done_at):
        assert model.rows[min(done_at) + 1] == 1
    del batch


def test_infilling_keeps_fixed_tokens():
    batch = canvas([[1]], 8)
    batch.ids[0, 4] = 7
    is_open = batch.is_canvas.clone()
    is_open[0, 4] = False
    decoder = Decoder(block_size=4, stop="never")
    steps = list(decode(Hash(), batch, decoder.parts(), draws=Draws(seed=0), is_open=is_open))
    assert steps[-1].state.ids[0, 4] == 7
    assert sum(len(s.at) for s in steps) == 7


def test_gumbel_samples_the_softmax():
    """Chi-square of one position against softmax(logits / T), and rows do not share noise."""
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(20_000, 1)
    keys = (torch.arange(20_000), torch.zeros(20_000, dtype=torch.int64), torch.zeros(20_000, dtype=torch.int64))
    token = PROPOSALS["gumbel"](temperature=0.7).propose(logits, Draws(seed=0), keys)
    expected = (logits[0] / 0.7).softmax(-1) * 20_000
    chi2 = ((torch.bincount(token, minlength=4) - expected) ** 2 / expected).sum()
    assert chi2 < 16.3  # 3 degrees of freedom, p = 0.001
    assert torch.equal(
        PROPOSALS["gumbel"](temperature=0.0).propose(logits[:3], Draws(seed=0), ()), torch.tensor([2] * 3)
    )


def test_steps_that_do_not_divide_are_refused():
    with pytest.raises(
        Exception, match="steps=7: expected a multiple of the 4 blocks of a canvas of 16; write steps=8"
    ):
        run(Hash(), {"steps": 7})


@pytest.mark.parametrize(
    ("fields", "trained", "size"),
    [
        ({}, None, 32),
        ({}, 7, 7),
        ({"blocks": "fixed"}, 7, 7),
        ({"block_size": 4}, 7, 4),
        ({"blocks": {"name": "fixed", "block_size": 4}}, 7, 4),
        ({"blocks": "fixed", "block_size": 4}, 7, 4),
    ],
)
def test_one_block_size_for_the_grid_and_the_rule(fields, trained, size):
    parts = Decoder(**fields).parts(trained_block_size=trained)
    assert parts.block_size == parts.blocks.block_size == size


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(UserError, match="block_size=8 and blocks.block_size=4"):
        Decoder(block_size=8, blocks={"name": "fixed", "block_size": 4}).parts()
    with pytest.raises(UserError, match="temperature=0.5 beside a proposal"):
        Decoder(proposal="greedy", temperature=0.5).parts()
