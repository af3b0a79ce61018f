"""Constraints for a model: outlines-core turns patterns into automata that read bytes, we into ones that read tokens.

An automaton is what writing out of order needs: it can be walked from both ends. Libraries that match from left to
right only (llguidance, xgrammar, lm-format-enforcer) do not expose one.
"""

import functools
import json
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.constraints.automaton import Automaton
from unmask.constraints.components import JsonSchema, Regex
from unmask.constraints.compose import compose
from unmask.constraints.token_bytes import token_bytes
from unmask.decoding.interfaces import Constraint
from unmask.errors import UserError
from unmask.models import LoadedModel
from unmask.runtime.transformers_api import Tokenizer

MOST_STATES = 4096  # memory and time of a step grow with their square
_END = 256  # outlines-core wants an end token
# outlines-core (0.2.14) drops what leads on from behind a match to a state that is none: "3." on the way to "3.5". Put
# behind the pattern, a character that no text has keeps every text from matching before its end.
_MARK = "\U0010ffff"


def constraint_of(
    *, regex: str | None = None, json_schema: dict[str, Any] | str | None = None
) -> Regex | JsonSchema | None:
    """Return the constraint that one of these describes; None for neither.

    Args:
        regex: pattern of the whole answer.
        json_schema: schema of the answer, as a mapping or as JSON.

    Returns:
        A constraint that is not compiled yet, or None.

    Raises:
        UserError: both are given.
    """
    if regex is not None and json_schema is not None:
        raise UserError("regex and json_schema: expected one of them, found both; leave one out")
    if regex is not None:
        return Regex(pattern=regex)
    return None if json_schema is None else JsonSchema(json_schema=json_schema)


def check_pattern(constraint: object) -> None:
    """Compile a pattern or schema as far as that goes without a model: a wrong one raises a UserError early."""
    if isinstance(constraint, (Regex, JsonSchema)):
        byte_automaton(_pattern(constraint))


def bind(constraint: Constraint, lm: LoadedModel) -> Constraint:
    """Return a constraint on text compiled for a model's tokens; any other is returned as it is.

    Args:
        constraint: made by ``constraint_of``, or any component of the kind.
        lm: its tokenizer, vocabulary and end tokens are used.

    Returns:
        The constraint that a decoder can run.

    Raises:
        UserError: the model has no tokenizer, the pattern is none, or the extra ``constraint`` is missing.
    """
    if not isinstance(constraint, (Regex, JsonSchema)) or constraint.automaton is not None:
        return constraint
    if lm.tokenizer is None:
        raise UserError("constraint: the model has no tokenizer to spell its tokens; leave the constraint out")
    return constraint.bound(_compiled(_pattern(constraint), lm.tokenizer, lm.vocab_size, lm.eos_ids))


def _pattern(constraint: Regex | JsonSchema) -> str:
    return constraint.pattern if isinstance(constraint, Regex) else schema_pattern(constraint)


def schema_pattern(constraint: JsonSchema) -> str:
    """Return a JSON schema as a regular expression.

    Args:
        constraint: the schema, and the pattern of the space between its elements.

    Returns:
        The pattern, in the syntax of Rust's ``regex``.

    Raises:
        UserError: it is no schema, or uses what a regular expression cannot say.
    """
    schema = constraint.json_schema
    text = schema if isinstance(schema, str) else json.dumps(schema)
    build = _library("outlines_core.json_schema").build_regex_from_schema
    try:
        return str(build(text, constraint.whitespace))
    except Exception as error:  # the library names no types of its own
        raise UserError(
            f"json_schema: expected a schema that a regular expression can say, found {_why(error)}"
        ) from error


@functools.lru_cache(maxsize=8)
def _compiled(pattern: str, tokenizer: Tokenizer, vocab_size: int, eos_ids: tuple[int, ...]) -> Automaton:
    step, accepts, start = byte_automaton(pattern)
    return compose(step, accepts, start=start, spellings=token_bytes(tokenizer, vocab_size), eos_ids=eos_ids)


@functools.lru_cache(maxsize=8)
def byte_automaton(pattern: str) -> tuple[Int[Tensor, "S 256"], Bool[Tensor, " S"], int]:
    """Return the automaton over bytes of a regular expression, for texts in UTF-8 without U+10FFFF.

    Args:
        pattern: in the syntax of Rust's ``regex``.

    Returns:
        The state after each byte (-1: it may not come), the states in which a match may end, and the first state.

    Raises:
        UserError: not a pattern that the library knows, or one with too many states.
    """
    _arcs(pattern)  # brackets that do not match, say, might with what is put around them
    arcs, start, ends = _arcs(f"(?:{pattern}){_MARK}")
    number = {state: place for place, state in enumerate(sorted({start, *ends, *arcs}))}
    if len(number) > MOST_STATES:
        raise UserError(
            f"regex: expected a pattern of at most {MOST_STATES} states, found {len(number)}; write smaller repetitions"
        )
    step = torch.full((len(number), 256), -1)
    for state, after in arcs.items():
        for byte, following in after.items():
            if byte != _END:
                step[number[state], byte] = number[following]
    padded = torch.cat([step, torch.full((1, 256), -1)])
    marked = torch.arange(len(number))
    for byte in _MARK.encode():
        marked = padded[marked, byte]
    accepts = torch.isin(marked, torch.tensor([number[state] for state in ends]))
    return step, accepts, number[start]


def _arcs(pattern: str) -> tuple[dict[int, dict[int, int]], int, set[int]]:
    """Return what follows each state of a pattern by each byte, the first state, and the last ones."""
    library = _library("outlines_core")
    try:
        index = library.Index(pattern, library.Vocabulary(_END, {bytes([byte]): [byte] for byte in range(_END)}))
    except Exception as error:  # the library names no types of its own
        raise UserError(
            f"regex: expected a pattern of the whole text in Rust's syntax, without ^, $ and look-around, found "
            f"{pattern[:60]!r}: {_why(error)}"
        ) from error
    return index.get_transitions(), index.get_initial_state(), set(index.get_final_states())


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError("constraint: needs outlines-core; pip install 'unmask[constraint]'") from None


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
