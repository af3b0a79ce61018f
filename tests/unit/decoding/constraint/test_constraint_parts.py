"""Bans and admissions on states by hand."""

from dataclasses import replace

import pytest
import torch

from languages import EOS, MASK, PATTERNS, automaton, bound, completions
from unmask.core.batch import Example, lay_out
from unmask.decoding import CONSTRAINTS, Decoder, JsonSchema, Regex
from unmask.decoding.loop import start
from unmask.decoding.state import Candidates, MemoryAccess
from unmask.errors import UserError

PROMPTS = [[1, 2, 3], [], [4, 5]]


def state_of(rows, prompts=PROMPTS):
    """A state whose canvases hold these tokens; None is an open place."""
    examples = [
        Example(prompt=prompt, answer=(), order=order, canvas=len(row))
        for order, (prompt, row) in enumerate(zip(prompts, rows, strict=False))
    ]
    batch = lay_out(examples, block_size=4, filler_id=EOS)
    is_open = torch.zeros_like(batch.is_canvas)
    for number, row in enumerate(rows):
        for place, token in enumerate(row):
            column = len(prompts[number]) + place
            batch.ids[number, column] = EOS if token is None else token
            is_open[number, column] = token is None
    return start(batch, MASK, is_open)


def allowed(constraint, state, row):
    at = (state.is_open & (torch.arange(len(state.ids)) == row)[:, None]).nonzero()
    logits = constraint.ban(state, at, torch.zeros(len(at), MASK + 1))
    return [set((each == 0).nonzero().flatten().tolist()) for each in logits]


def candidates_of(state, tokens, scores):
    """The whole canvases as blocks of the live rows."""
    length = state.batch.canvas_length
    width = int(length.max())
    begin = state.batch.is_canvas.long().argmax(1)
    columns = (begin[:, None] + torch.arange(width)).clamp(max=state.ids.shape[1] - 1)
    rows = torch.arange(len(begin))
    is_open = state.is_open.gather(1, columns) & (torch.arange(width) < length[:, None])
    score = torch.tensor(scores)
    return Candidates(
        rows=rows,
        columns=columns,
        width=length,
        canvas=length,
        is_open=is_open,
        is_queried=is_open,
        token=torch.tensor(tokens),
        written=torch.full_like(columns, MASK),
        logits=torch.zeros(int(is_open.sum()), MASK + 1),
        log_prob=score,
        score=score,
        measure=lambda name: score,
        block_open=is_open.sum(1),
        block_steps=0 * length,
        steps=None,
        mean_confidence=lambda: score[:, 0],
        mask_id=MASK,
        memory=MemoryAccess({}, rows=rows, start=0 * length, width=length, columns=width),
        look_ahead=lambda *_: score,
    )


def test_rows_of_different_lengths_and_states_are_told_apart():
    rows = [[None, 1, None, None], [None, None], [2, None, None]]
    constraint, state = bound("(ab)+"), state_of(rows)
    for number, row in enumerate(rows):
        known = completions("(ab)+", row)
        opened = [place for place, token in enumerate(row) if token is None]
        assert allowed(constraint, state, number) == [{text[place] for text in known} for place in opened]


def test_all_rows_at_once_give_what_each_gives_alone():
    constraint, state = bound("(ab)+"), state_of([[None, 1, None, None], [None, None], [2, None, None]])
    at = state.is_open.nonzero()
    logits = torch.arange(len(at) * (MASK + 1)).float().view(len(at), -1)
    banned = constraint.ban(state, at, logits)
    together = [set(each.isfinite().nonzero().flatten().tolist()) for each in banned]
    assert together == sum((allowed(constraint, state, row) for row in range(3)), [])
    assert torch.equal(banned[banned.isfinite()], logits[banned.isfinite()])


def test_given_tokens_that_contradict_the_pattern_leave_the_row_unbanned_and_nothing_admitted():
    constraint, state = bound("(ab)+"), state_of([[3, None], [None, None]])
    assert allowed(constraint, state, 0) == [set(range(MASK + 1))]
    candidates = candidates_of(state, [[0, 1], [0, 1]], [[0.0, 0.9], [0.9, 0.8]])
    chosen = candidates.is_open
    assert constraint.admit(state, candidates, chosen).tolist() == [[False, False], [True, True]]


def test_the_surest_that_stand_together_are_admitted():
    """c is surest and forbids all before it but ab; a at 0 would leave no place for its b."""
    constraint, state = bound("(ab)*c"), state_of([[None, None, None]])
    chosen = torch.tensor([[True, True, True]])
    tokens = [[0, 3, EOS]]
    admit = {
        (0.1, 0.9, 0.5): [False, True, True],
        (0.9, 0.1, 0.5): [True, False, False],  # "ab" takes two places, c the third
        (0.5, 0.1, 0.9): [False, True, True],
    }
    for scores, kept in admit.items():
        candidates = candidates_of(state, tokens, [list(scores)])
        assert constraint.admit(state, candidates, chosen).tolist() == [kept]
    only_last = torch.tensor([[False, False, True]])
    assert constraint.admit(state, candidates, only_last) is only_last


@pytest.mark.parametrize("pattern", PATTERNS)
def test_whatever_is_proposed_a_completion_is_left_and_something_is_written(pattern):
    """Random proposals, each allowed by itself, in random order of sureness, until the canvas is full."""
    generator = torch.Generator().manual_seed(0)
    constraint = bound(pattern)
    for _ in range(8):
        state = state_of([[None] * 4] * 3)
        while bool(state.is_open.any()):
            at = state.is_open.nonzero()
            noise = torch.rand(len(at), MASK + 1, generator=generator)
            token = torch.zeros_like(state.ids)
            token[at[:, 0], at[:, 1]] = constraint.ban(state, at, noise).argmax(1)
            blank = candidates_of(state, [[0] * 4] * 3, [[0.0] * 4] * 3)
            scores = torch.rand(blank.columns.shape, generator=generator)
            candidates = replace(blank, token=token.gather(1, blank.columns), score=scores)
            is_wanted = candidates.is_open & (torch.rand(scores.shape, generator=generator) < 0.7)
            admitted = constraint.admit(state, candidates, is_wanted)
            assert not (admitted & ~is_wanted).any()
            assert torch.equal(admitted.any(1), is_wanted.any(1))
            row, column = admitted.nonzero()[:, 0], candidates.columns[admitted]
            ids, is_open = state.ids.clone(), state.is_open.clone()
            ids[row, column], is_open[row, column] = candidates.token[admitted], False
            state = replace(state, ids=ids, is_open=is_open)
            for number, prompt in enumerate(PROMPTS):
                tokens = ids[number, len(prompt) : len(prompt) + 4].tolist()
                assert completions(pattern, [None if each == MASK else each for each in tokens])


def test_a_canvas_too_short_for_any_match_is_refused():
    constraint = bound("a{3}")
    constraint.check(3)
    with pytest.raises(UserError, match="at least 3 tokens.* found 2; write max_new_tokens=3"):
        constraint.check(2)
    with pytest.raises(UserError, match="none that these tokens spell"):
        bound("x").check(9)


def test_parts_by_name_and_unbound():
    assert {"none", "regex", "json_schema"} <= set(CONSTRAINTS)
    decoder = Decoder(constraint={"name": "regex", "pattern": "a+"})
    assert decoder.constraint == Regex(pattern="a+")
    assert Decoder(constraint=JsonSchema(json_schema={"type": "null"})).constraint.automaton is None
    with pytest.raises(TypeError, match="must be bound"):
        decoder.constraint.check(4)
    found = automaton("a+")
    assert decoder.constraint.bound(found).automaton is found
