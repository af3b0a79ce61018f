"""What is allowed at each place, against enumeration."""

import random

import pytest

from languages import EOS, MASK, PATTERNS, automaton, completions, is_match, texts
from unmask.constraints.automaton import OPEN

LENGTH = 4


def classes_of(found, row):
    return [OPEN if token is None else int(found.class_of[token]) for token in row]


def allowed_tokens(found, row):
    classes = classes_of(found, row)
    ahead, behind = found.ahead(classes), found.behind(classes)
    sets = [found.allowed(ahead[place], behind[place + 1]) for place in range(len(row))]
    return [{token for token in range(MASK + 1) if classes >> int(found.class_of[token]) & 1} for classes in sets]


def partial_canvases(pattern, number):
    """Some that can be completed, and some at random, most of which cannot."""
    source = random.Random(pattern)
    known = texts(pattern, LENGTH)
    for index in range(number):
        text = source.choice(known) if known and index % 3 else [source.randrange(EOS + 1) for _ in range(LENGTH)]
        yield [token if source.random() < 0.4 else None for token in text]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_allowed_tokens_are_those_of_some_completion(pattern):
    found = automaton(pattern)
    for row in [[None] * LENGTH, *partial_canvases(pattern, 40)]:
        known = completions(pattern, row)
        assert found.is_possible(classes_of(found, row)) == bool(known), row
        for place, allowed in enumerate(allowed_tokens(found, row)):
            # A written place is asked about, too, by revisions: what could stand there in place of what does.
            others = [*row[:place], None, *row[place + 1 :]]
            assert allowed == {text[place] for text in completions(pattern, others)}, (row, place)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_shortest_text_is_counted_in_tokens(pattern):
    found = automaton(pattern)
    lengths = [n for n in range(LENGTH + 1) if any(EOS not in text for text in texts(pattern, n))]
    assert found.shortest == min(lengths)


def test_a_language_that_the_tokens_cannot_spell_has_no_shortest_text():
    assert automaton("x").shortest is None
    assert automaton("x|c").shortest == 1


def test_halves_of_a_character_stand_together_or_not_at_all():
    found = automaton("é")
    first, second, whole = 4, 5, 6
    assert allowed_tokens(found, [None, None]) == [{first, whole}, {second, EOS}]
    assert allowed_tokens(found, [first, None])[1] == {second}
    assert allowed_tokens(found, [whole, None])[1] == {EOS}


def test_tokens_that_do_the_same_share_a_class():
    found = automaton("[ab]*c")
    a, b, ab, ba, mask = (int(found.class_of[token]) for token in (0, 1, 2, 7, MASK))
    assert a == b == ab == ba != mask
    assert found.classes == 4  # letters, c, the end, and what may never come


def test_every_text_of_a_tiny_language_is_reached_and_no_other():
    assert set(texts("(ab)+", 2)) == {(0, 1), (2, EOS), (2, 2)}
    assert is_match("(ab)+", (2, EOS, EOS))
    assert not is_match("(ab)+", (2, EOS, 2))
