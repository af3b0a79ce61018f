"""Every decoder, held to a pattern."""

import pytest
import torch
from decoders import DECODERS, every

from languages import MASK, bound, is_match
from toys import EndFirst, Hash
from unmask.constraints.automaton import OPEN
from unmask.errors import UserError
from unmask.testing.decoding import PROMPTS, run
from unmask.testing.decoding import blank_canvas as canvas
from unmask.testing.decoding import final_text as text

PATTERN = "(ab|ba)*(é|c){2,5}b?"


def constrained(model, fields, pattern=PATTERN, **options):
    return run(model, {**fields, "constraint": bound(pattern)}, **options)


@every
@pytest.mark.parametrize("model", [Hash, EndFirst])
def test_every_decoder_ends_in_a_match_and_never_leaves_the_way_to_one(name, model):
    found = bound(PATTERN).automaton
    batch, steps = constrained(model(), {"stop": "eos" if model is EndFirst else "never", **DECODERS[name]})
    for step in steps:
        for tokens in text(batch, [step]):
            assert found.is_possible([OPEN if token == MASK else int(found.class_of[token]) for token in tokens])
    for tokens in text(batch, steps):
        assert is_match(PATTERN, tokens), tokens
    assert not steps[-1].state.is_stuck.any()


@every
def test_given_tokens_are_part_of_the_match(name):
    batch = canvas(PROMPTS[:2])
    is_given = (batch.offset == 2) | (batch.offset == 5)
    batch.ids[is_given] = 3
    pattern = "[ab]*c[ab]*c(é|c)*"
    fields = {"stop": "eos", **DECODERS[name]}
    _, steps = constrained(Hash(), fields, pattern, batch=batch, is_open=batch.is_canvas & ~is_given)
    for tokens in text(batch, steps):
        assert tokens[2] == tokens[5] == 3
        assert is_match(pattern, tokens)


@every
def test_a_row_that_contradicts_the_pattern_stops_and_says_so(name):
    """The second row starts with a c that no match has; the others do not notice."""
    batch = canvas(PROMPTS)
    is_given = (batch.offset == 0) & (torch.arange(3) == 1)[:, None]
    batch.ids[is_given] = 3
    fields = {"stop": "eos", **DECODERS[name]}
    _, steps = constrained(Hash(), fields, "(ab|ba)+", batch=batch, is_open=batch.is_canvas & ~is_given)
    assert steps[-1].state.is_stuck.tolist() == [False, True, False]
    live = [1 in step.live for step in steps if not step.state.is_stuck[1]]
    assert sum(1 in step.live for step in steps) == len(live) + 1  # it is not read again
    first, stuck, last = text(batch, steps)
    assert is_match("(ab|ba)+", first)
    assert is_match("(ab|ba)+", last)
    assert stuck == [3] + [9] * 11


@every
def test_a_row_does_not_depend_on_its_batch(name):
    batch, steps = constrained(Hash(), DECODERS[name])
    alone = text(*constrained(Hash(), DECODERS[name], prompts=PROMPTS[1:2], orders=[1]))
    assert alone == [text(batch, steps)[1]]


def test_a_pattern_that_cannot_fit_is_refused_before_the_first_forward():
    model = Hash()
    with pytest.raises(UserError, match="at least 20 tokens.* found 12"):
        constrained(model, {}, "c{20}")
    assert model.forwards == 0


def test_a_pattern_that_all_texts_match_changes_nothing_but_the_end():
    plain = text(*run(Hash(), {"proposal": "greedy"}))
    free = text(*constrained(Hash(), {"proposal": "greedy"}, "[abcé]*"))
    assert not any(is_match("[abcé]*", tokens) for tokens in plain)  # halves of characters, and text behind the end
    assert all(is_match("[abcé]*", tokens) for tokens in free)


def test_no_end_token_is_proposed_while_the_pattern_leaves_another():
    for tokens in text(*constrained(EndFirst(), DECODERS["proposal-no_eos"], "(ab)+")):
        assert 9 not in tokens
