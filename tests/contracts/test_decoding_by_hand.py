"""Decoders by hand: the ends of their scales, ties, quotas, and what is refused."""

from pathlib import Path

import pytest
import torch

from toys import EndFirst, Hash, Saturated
from unmask.core.random import Draws
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
from unmask.errors import UserError
from unmask.testing.decoding import blank_canvas as canvas
from unmask.testing.decoding import final_text as text
from unmask.testing.decoding import run

PARTS = [SELECTIONS, BLOCK_RULES, PROPOSALS, REVISIONS, VIEWS, CACHES, SEARCHES, CONSTRAINTS, STOPS]
INF = float("inf")
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
@pytest.mark.parametrize("block_size", [1, 4, 12])
def test_the_ends_of_the_scale_are_one_token_and_one_block_a_forward(name, block_size):
    one, block = FAMILY[name]
    if one is not None:
        model = Hash()
        _, steps = run(model, {"selection": {"name": name, **one}, "block_size": block_size})
        assert model.forwards == 12
        assert all(len(step.at) == 3 for step in steps)
    model = Hash()
    run(model, {"selection": {"name": name, **block}, "block_size": block_size})
    assert model.forwards == 12 // block_size


@pytest.mark.parametrize("name", SELECTIONS)
def test_blocks_of_one_go_left_to_right_whatever_selects(name):
    _, steps = run(Hash(), {"selection": name, "block_size": 1}, prompts=[[1]])
    assert [step.at[0, 1].item() for step in steps] == list(range(12))


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_saturated_model_is_decoded_to_the_end(name):
    batch, _ = found = run(Saturated(), {"selection": name})
    assert text(*found) == [[3] * 12] * len(batch.order)


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
    run(model, {"steps": 48}, prompts=[[1]])
    assert model.forwards == 12


@pytest.mark.parametrize("length", [8, 12])
def test_threshold_at_infinity_is_one_token_a_step(length):
    batch, slow = run(Hash(), {"threshold": float("inf")}, length=length)
    _, plain = run(Hash(), {}, length=length)
    assert [s.at.tolist() for s in slow] == [s.at.tolist() for s in plain]
    assert len(slow) == length


def test_threshold_at_zero_is_one_forward_a_block():
    model = Hash()
    run(model, {"threshold": 0.0})
    assert model.forwards == 3


def test_blocks_of_one_go_left_to_right_and_whole_blocks_are_full_diffusion():
    _, steps = run(Hash(), {"block_size": 1}, prompts=[[1]])
    assert [s.at[0, 1].item() for s in steps] == list(range(12))
    _, whole = run(Hash(), {"blocks": "whole"}, prompts=[[1]])
    _, large = run(Hash(), {"block_size": 12}, prompts=[[1]])
    assert [s.at.tolist() for s in whole] == [s.at.tolist() for s in large]


def test_ties_go_to_the_leftmost_place():
    _, steps = run(Saturated(), {"blocks": "whole"}, prompts=[[1]], length=6)
    assert [s.at[0, 1].item() for s in steps] == list(range(6))


def test_a_saturated_model_at_threshold_one_writes_the_block_at_once():
    """Probabilities round to exactly 1: `1` does not mean one token a step."""
    model = Saturated()
    run(model, {"threshold": 1.0})
    assert model.forwards == 3


def test_only_open_places_of_the_active_block_are_asked_and_finished_rows_are_not_read():
    model = EndFirst()
    batch, steps = run(model, {"stop": "eos", "block_size": 4}, prompts=[[1, 2, 3], [4]])
    assert max(model.queried) <= 8
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
    steps = list(decode(Hash(), batch, decoder.resolve(), draws=Draws(seed=0), is_open=is_open))
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
        run(Hash(), {"steps": 7}, length=16)


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
    resolved = Decoder(**fields).resolve(trained_block_size=trained)
    assert resolved.block_size == resolved.blocks.block_size == size


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(UserError, match="block_size=8 and blocks.block_size=4"):
        Decoder(block_size=8, blocks={"name": "fixed", "block_size": 4}).resolve()
    with pytest.raises(UserError, match="temperature=0.5 beside a proposal"):
        Decoder(proposal="greedy", temperature=0.5).resolve()
