"""A vocabulary for the toys, and the strings of a language by enumeration."""

import functools
import itertools
import re

from unmask.constraints import compose
from unmask.constraints.compile import byte_automaton
from unmask.decoding import Regex

EOS, MASK = 9, 10
SPELLINGS = [b"a", b"b", b"ab", b"c", b"\xc3", b"\xa9", "é".encode(), b"ba", b"", None, None]
PATTERNS = ["(ab)+", "a{2,3}c?", "é+b", "[^b]*c", "(a|b|ab)*", "c", "(aba|bab)+|cc", "", "(a|ba)(é|c)*b?"]


@functools.cache
def automaton(pattern):
    step, accepts, start = byte_automaton(pattern)
    return compose(step, accepts, start=start, spellings=SPELLINGS, eos_ids=(EOS,))


def bound(pattern):
    return Regex(pattern=pattern, automaton=automaton(pattern))


def spelled(tokens):
    """The text up to the first end token; None: a token that is no text, or something else behind the end."""
    text = list(itertools.takewhile(lambda token: token != EOS, tokens))
    if set(tokens[len(text) :]) - {EOS} or any(not SPELLINGS[token] for token in text):
        return None
    try:
        return b"".join(SPELLINGS[token] for token in text).decode()
    except UnicodeDecodeError:
        return None


def is_match(pattern, tokens):
    text = spelled(tokens)
    return text is not None and re.fullmatch(pattern, text) is not None


@functools.cache
def texts(pattern, length):
    """All canvases of a length that match."""
    return [each for each in itertools.product(range(MASK + 1), repeat=length) if is_match(pattern, each)]


def completions(pattern, row):
    """Those that agree with what is written; None is an open place."""
    pairs = [(place, token) for place, token in enumerate(row) if token is not None]
    return [each for each in texts(pattern, len(row)) if all(each[place] == token for place, token in pairs)]
