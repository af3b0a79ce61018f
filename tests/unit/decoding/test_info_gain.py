"""Info-Gain: what is tried, how it is weighed, and what it costs."""

from dataclasses import replace

import pytest
import torch
from places import picked, places, trace

from toys import Hash
from unmask.core.attention import PAD
from unmask.decoding import InfoGain
from unmask.errors import UserError

INF = float("inf")
QUOTA = {"name": "info_gain", "choices": 1, "bypass": INF}
LN2 = 0.6931471805599453


def ahead(after):
    """A look-ahead that leaves, after place i is written, every other place with ``after[i]`` of two even tokens."""

    def look_ahead(is_written, tokens, left):
        look_ahead.calls.append(is_written)
        first = is_written.long().argmax(2)[:, :, None].expand(left.shape)[left]
        logits = torch.full((len(first), 2), -INF)
        logits[:, 0] = 0.0
        logits[:, 1] = torch.where(torch.tensor(after)[first] > 0, 0.0, -INF)
        return logits

    look_ahead.calls = []
    return look_ahead


def seen(p, entropy, after, *, closed=(), **options):
    uniform = torch.linspace(0.1, 0.9, len(p)).tolist()
    candidates = places(p, closed=closed, entropy=[-h for h in entropy], random=uniform, **options)
    return replace(candidates, look_ahead=ahead(after))


def test_own_entropy_and_what_is_left_decide():
    """16 draws at a high temperature try all three places. Left: ln 2 each after places 0 and 1, nothing after 2."""
    wide = {"choices": 16, "temperature": 100.0}
    found = seen([0.7, 0.6, 0.5], [0.1, 0.2, 0.3], [1, 1, 0])
    assert picked("info_gain", found, **wide) == [2]  # -.3 - 0 beats -.1 - ln 2
    assert picked("info_gain", seen([0.7, 0.6, 0.5], [0.1, 0.2, 1.0], [1, 1, 0]), **wide) == [0]
    assert picked("info_gain", seen([0.7, 0.6, 0.5], [0.1, 0.2, 1.0], [1, 1, 0]), cost=0, **wide) == [2]  # LookUM
    tried = found.look_ahead.calls[0]
    assert tried.shape == (3, 1, 3)  # each place once: what was tried already is left out
    assert tried[0, 0].tolist() == [True, False, False]  # the surest first
    assert sorted(tried[:, 0].long().argmax(1).tolist()) == [0, 1, 2]


def test_a_clear_block_is_written_at_once_and_the_last_place_without_looking():
    clear = seen([0.8, 0.9, 0.1], [0.1] * 3, [1] * 3, closed=[2])
    assert picked("info_gain", clear) == [0, 1]
    assert picked("info_gain", clear, bypass=0.85) != [0, 1]
    last = seen([0.1, 0.2, 0.3], [0.1] * 3, [1] * 3, closed=[0, 2])
    assert picked("info_gain", last) == [1]
    assert last.look_ahead.calls == []


def test_the_quota_says_how_many():
    found = seen([0.7, 0.6, 0.5, 0.4], [0.1] * 4, [0] * 4)
    assert len(picked("info_gain", found, steps=2)) == 2
    assert found.look_ahead.calls[0].sum(2).unique().tolist() == [2]


@pytest.mark.parametrize("options", [{}, {"steps": 8}, {"blocks": "whole"}, {"temperature": 1.0}, {"stop": "eos"}])
def test_one_candidate_is_quota(options):
    assert trace(options, selection=QUOTA) == trace(options)


def test_it_differs_from_quota_and_looking_ahead_is_counted():
    model = Hash()
    steps = trace(selection="info_gain", model=model, prompts=[(1,)])
    assert steps != trace(prompts=[(1,)])
    # Blocks of 4: three steps look ahead, the last has no choice. No block is clear on this model.
    assert len(steps) == 16
    assert model.forwards == 16 + 12
    assert max(model.rows) <= 8


def test_draws_belong_to_the_seed():
    assert trace(selection="info_gain", seed=1) == trace(selection="info_gain", seed=1)
    tries = {str(trace(selection={"name": "info_gain", "choices": 2}, seed=seed)) for seed in range(4)}
    assert len(tries) > 1


@pytest.mark.parametrize("fields", [{"choices": 0}, {"temperature": 0}, {"cost": -1}])
def test_bad_settings_are_refused(fields):
    with pytest.raises(UserError):
        InfoGain(**fields)


class Watched(Hash):
    """Keeps every query."""

    def predict(self, query, query_positions):
        self.heads.setdefault("queries", []).append(query)
        return super().predict(query, query_positions)


@pytest.mark.parametrize("view", ["canvas", "anchored", "reordered"])
def test_every_view_shows_what_is_tried_as_written(view):
    """The forward that looks ahead reads each choice as the text that it would be."""
    model = Watched()
    trace(selection="info_gain", model=model, prompts=[(1,)], length=4, view=view, heads=False)
    now, ahead = model.heads["queries"][:2]

    def written(query):
        """How many places of the canvas, which begins at position 1, are read as written."""
        stands = query.ids != model.mask_id
        if view == "reordered":  # what is open is read after all that is written
            stands = query.columns.block < query.ids.shape[1]
        stands = stands & (query.columns.segment != PAD) & (query.columns.position > 0)
        return [len(set(row[at].tolist())) for row, at in zip(query.columns.position, stands, strict=True)]

    assert len(ahead.ids) > 1
    assert written(now) == [0]
    assert written(ahead) == [1] * len(ahead.ids)


def test_only_what_is_left_of_a_block_that_was_cut_counts():
    """The first forward asks about the window of 8; the block ends at its first place, and the next at the second."""
    model = Watched()
    blocks = {"name": "adablock", "delimiters": list(range(10)), "threshold": 0.0, "window": 1.0}
    trace(selection="info_gain", model=model, prompts=[(1,)], length=8, blocks=blocks, block_size=2, heads=False)
    assert model.queried[0] == 8
    wide = [query for query in model.heads["queries"] if len(query.ids) > 1]
    assert wide
    for queried, query in zip(model.queried, model.heads["queries"], strict=True):
        # A cut block has at most as many open places as lie before its end; each way leaves one less.
        assert len(query.ids) == 1 or queried < 7 * len(query.ids)


def test_whether_it_draws_shows_at_the_first_forward():
    """A first block with one open place offers no choice, but several samples may be asked for all the same."""
    from unmask.generate import generate
    from unmask.models import ScratchSpec, from_scratch

    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3))
    options = {"max_new_tokens": 9, "blocks": {"name": "fixed", "block_size": 4, "grid": "text"}}
    out = generate(lm, [1, 2, 3], n=4, selection={"name": "info_gain", "choices": 2}, **options)
    assert len(out.texts) == 4
    with pytest.raises(UserError, match="draws random numbers"):
        generate(lm, [1, 2, 3], n=2, selection=QUOTA, **options)
