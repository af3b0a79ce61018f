"""Patterns and schemas of a user to automata over a model's tokens."""

import json
import re
import sys

import pytest

from unmask.cli.decoding import decoder_of
from unmask.constraints.compile import bind, byte_automaton, schema_pattern
from unmask.decoding import JsonSchema, Regex, Unconstrained
from unmask.errors import UserError
from unmask.generate import answer_text, generate, infill, stream
from unmask.models import ScratchSpec, from_scratch
from unmask.models.tokenizers import char_tokenizer

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def small_model(alphabet='abc{}":, 0123456789nmeg-\\'):
    tokenizer = char_tokenizer(alphabet)
    spec = ScratchSpec(hidden_size=16, layers=1, heads=2)
    return from_scratch(spec, tokenizer=tokenizer)


def reads(pattern, text):
    step, accepts, state = byte_automaton(pattern)
    for byte in text.encode():
        state = int(step[state, byte])
        if state < 0:
            return False
    return bool(accepts[state])


def test_what_leads_on_from_behind_a_match_is_kept():
    """outlines-core by itself takes 3 for a number and loses the way to 3.5."""
    number = r"-?[0-9]+(\.[0-9]+)?"
    assert [reads(number, text) for text in ("3", "3.", "3.5", "-12.25", "3.5.")] == [True, False, True, True, False]


@pytest.mark.parametrize("pattern", ["a|bc", "(ab)*", "[^a]b?", "é{2,3}", "[0-9]{4}-[0-9]{2}", ".x"])
def test_byte_automata_read_what_python_matches(pattern):
    samples = ["", "a", "bc", "ab", "abab", "aba", "éb", "é", "éé", "éééé", "2024-01", "2024-1", "\nx", "éx", "xx"]
    for text in samples:
        assert reads(pattern, text) == bool(re.fullmatch(pattern, text)), text


def test_a_schema_is_read_as_json_of_that_schema():
    pattern = schema_pattern(JsonSchema(json_schema=PERSON))
    assert pattern == schema_pattern(JsonSchema(json_schema=json.dumps(PERSON)))
    assert reads(pattern, json.dumps({"name": "Ann", "age": 3}))
    assert not reads(pattern, json.dumps({"name": "Ann", "age": "3"}))
    assert not reads(pattern, json.dumps({"name": "Ann"}))
    tight = schema_pattern(JsonSchema(json_schema=PERSON, whitespace=""))
    assert reads(tight, '{"name":"Ann","age":3}')
    assert not reads(tight, '{"name": "Ann","age":3}')


def test_binding_knows_the_models_tokens():
    lm = small_model()
    constraint = bind(JsonSchema(json_schema=PERSON, whitespace=""), lm)
    assert constraint.automaton.shortest == len('{"name":"","age":0}')
    assert len(constraint.automaton.class_of) == lm.vocab_size
    assert bind(constraint, lm) is constraint
    assert bind(JsonSchema(json_schema=PERSON, whitespace=""), lm).automaton is constraint.automaton
    assert bind(Unconstrained(), lm) == Unconstrained()
    with pytest.raises(UserError, match="none that these tokens spell"):
        bind(Regex(pattern="z"), lm).check(10)


@pytest.mark.parametrize("pattern", ["a(", "^a$", "(?=a)b", "a{2,1}"])
def test_what_is_no_pattern_is_refused_in_one_line(pattern):
    with pytest.raises(UserError, match=r"^regex: expected a pattern of the whole text .* found ") as error:
        byte_automaton(pattern)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("schema", ["{", {"type": "strange"}, {"type": "object", "$ref": "#/nowhere"}])
def test_what_is_no_schema_is_refused_in_one_line(schema):
    with pytest.raises(UserError, match="^json_schema: expected a schema that a regular expression can say") as error:
        schema_pattern(JsonSchema(json_schema=schema))
    assert "\n" not in str(error.value)


def test_too_many_states_are_refused():
    with pytest.raises(UserError, match="at most 4096 states, found "):
        byte_automaton(".{1000}")


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "outlines_core", None)
    with pytest.raises(UserError, match=r"pip install 'unmask\[constraint\]'"):
        byte_automaton("a")


def test_a_model_without_tokenizer_is_refused():
    lm = small_model()
    lm.tokenizer = None
    with pytest.raises(UserError, match="no tokenizer"):
        bind(Regex(pattern="a"), lm)


def test_an_untrained_model_writes_json_of_a_schema():
    lm = small_model()
    for options in ({}, {"threshold": 0.1}, {"temperature": 1.0, "seed": 3}, {"revision": "remdm"}):
        out = generate(lm, ["ab", "c"], chat=False, json_schema=PERSON, max_new_tokens=48, block_size=8, **options)
        for text in out.texts:
            found = json.loads(text)
            assert list(found) == ["name", "age"]
            assert isinstance(found["age"], int)
        assert out.is_stuck == [False, False]


def test_the_last_step_of_a_stream_matches():
    lm = small_model()
    *_, last = stream(lm, "a", chat=False, regex="(ab){3}c", max_new_tokens=8, block_size=4)
    assert answer_text(lm, last.state) == "abababc"


def test_a_blank_is_filled_so_that_the_rest_of_the_text_matches():
    lm = small_model()
    out = infill(lm, "n___ab___", blank_tokens=2, constraint={"name": "regex", "pattern": "(ab|c){2,4}abc"})
    assert re.fullmatch("n(ab|c){2,4}abc", out.texts[0])
    stuck = infill(lm, "n___g___", blank_tokens=2, constraint={"name": "regex", "pattern": "[abc]+"})
    assert stuck.is_stuck == [True]


def test_what_cannot_fit_and_what_says_it_twice():
    lm = small_model()
    with pytest.raises(UserError, match="at least 9 tokens.* found 4; write max_new_tokens=9"):
        generate(lm, "a", chat=False, regex="a{9}", max_new_tokens=4)
    with pytest.raises(UserError, match="expected one of them, found both"):
        generate(lm, "a", chat=False, regex="a", json_schema={"type": "null"}, max_new_tokens=4)


def test_the_command_line_takes_a_pattern_a_schema_or_its_file(tmp_path):
    chosen = {"block_size": None, "threshold": None, "temperature": None, "max_new_tokens": 8}
    path = tmp_path / "person.json"
    path.write_text(json.dumps(PERSON))
    for text in (json.dumps(PERSON), str(path)):
        assert decoder_of(chosen, json_schema=text).constraint == JsonSchema(json_schema=PERSON)
    assert decoder_of(chosen, regex="a: b").constraint == Regex(pattern="a: b")  # not read as YAML
    assert decoder_of(chosen).resolve().constraint == Unconstrained()
    with pytest.raises(UserError, match="regex: expected a pattern"):
        decoder_of(chosen, regex="a(")
    with pytest.raises(UserError, match="--json-schema: expected a JSON object or a file with one, found 'x.json'"):
        decoder_of(chosen, json_schema="x.json")
