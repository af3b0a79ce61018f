"""What a preview shows is what the collator lays out."""

import io
import json
from dataclasses import replace

from chat_templates import tokenizer_for
from rich.console import Console

from unmask.config.defaults import Layout
from unmask.data import Encoded, Record, encode, preview

TOKENIZER = tokenizer_for(None)
END = TOKENIZER.eos_token_id
RAW = [Record(prompt="12", completion="34567\n8", source="x:1"), Record(prompt="1", completion="2", source="x:2")]
GRID = Layout(block_size=4, tail_blocks=0)


def shown(*, canvas=None, **options):
    data = encode(RAW, TOKENIZER, max_length=None)
    return preview(data, TOKENIZER, layout=replace(GRID, canvas=canvas), filler_id=END, **options)


def test_segments_by_hand():
    first, second = shown(canvas=12).examples
    assert [(s.kind, s.block, s.text, s.tokens) for s in first.segments] == [
        ("prompt", -1, "12", 2),
        ("response", 0, "3456", 4),
        ("response", 1, "7\n8", 3),
        ("end", 1, "</s>", 1),
        ("tail", 2, "░", 4),
    ]
    assert [(s.kind, s.block, s.tokens) for s in second.segments] == [
        ("prompt", -1, 1), ("response", 0, 1), ("end", 0, 1), ("filler", 0, 2), ("tail", 1, 4), ("tail", 2, 4),
    ]  # fmt: skip
    assert first.title == "x:1: prompt 2, response 8, tail 4 tokens; 3 blocks of 4"


def test_plain_text():
    text = shown(canvas=12).as_text()
    assert "--- x:1: prompt 2, response 8, tail 4 tokens; 3 blocks of 4\n[prompt] 12\n|0| 3456\n|1| 7\n8" in text
    assert "|0| 2 {end: </s>} {filler: </s> x 2}\n|1| {tail: x 4}" in text


def printed(**options):
    console = Console(file=io.StringIO(), width=100, force_terminal=True, **options)
    console.print(shown())
    return console.file.getvalue()


def test_colours_where_there_are_any_and_marks_elsewhere():
    assert "\x1b[" in printed(color_system="truecolor")
    assert "end of turn" in printed(color_system="truecolor")
    assert "{end: </s>}" in printed(color_system=None)
    assert "\x1b[" not in printed(color_system=None)
    assert "{end: </s>}" in printed(color_system="truecolor", no_color=True)


def test_json():
    value = json.loads(json.dumps(shown(count=1).as_dict()))
    assert len(value["examples"]) == 1
    assert value["examples"][0]["segments"][0] == {"kind": "prompt", "block": -1, "text": "12", "tokens": 2}


def test_letters_of_several_tokens_are_not_torn():
    """Four bytes make one letter; the block that holds its last byte shows it."""
    data = encode([Record(prompt="1", completion="ab🙂c")], TOKENIZER, max_length=None)
    assert len(data[0].answer) == 8
    (example,) = preview(data, TOKENIZER, layout=GRID, filler_id=END).examples
    assert [s.text for s in example.segments] == ["1", "ab", "🙂c", "</s>"]


def test_a_truncated_answer_shows_no_end():
    data = encode(RAW, TOKENIZER, max_length=6, block_size=4, too_long="truncate")
    first = preview(data, TOKENIZER, layout=GRID, filler_id=END).examples[0]
    assert [s.kind for s in first.segments] == ["prompt", "response"]
    assert first.segments[1].text == "3456"


def test_examples_without_a_known_end():
    (example,) = preview([Encoded(prompt=[20], answer=[21, 22])], TOKENIZER, layout=GRID, filler_id=END).examples
    assert [s.kind for s in example.segments] == ["prompt", "response", "end", "filler"]
