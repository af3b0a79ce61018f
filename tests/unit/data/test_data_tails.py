"""What stands after an answer's end, by name."""

from itertools import pairwise

import pytest
import torch
from chat_templates import tokenizer_for
from tokenizers import AddedToken

from unmask.config.components import InvalidConfigError, fill
from unmask.config.defaults import Layout, Rows
from unmask.core.random import RecordedDraws
from unmask.data import Collator, Encoded, preview
from unmask.data.tails import CYCLE, tail_cycle
from unmask.errors import UserError
from unmask.models.tokenizers import builtin_tokenizer
from unmask.recipes.check import check
from unmask.recipes.sections import DataSection

FILLER, TEXT = 0, 2
FITTED = {"none": 0, "one": 1, "block": 3, "sampled": 3 + 2 * 4, "rainbow": 3 + 2 * 4}  # columns after 5 of 8


def collated(*items, share=0.99, cycle=(), **options):
    draws = RecordedDraws(seed=0, values={"tail": torch.full((len(items),), share)})
    collate = Collator(layout=Layout(block_size=4, **options), filler_id=FILLER, draws=draws, cycle=cycle)
    rows = [{"prompt": [1] * p, "answer": [TEXT] * a, "order": n, "source": "x:1"} for n, (p, a) in enumerate(items)]
    return collate(rows)


@pytest.mark.parametrize("tail", FITTED)
def test_canvases_by_name(tail):
    cycle = (7, 8, 9) if tail == "rainbow" else ()
    batch = collated((2, 5), tail=tail, cycle=cycle)
    after = [[7, 8, 9][n % 3] if cycle else FILLER for n in range(FITTED[tail])]
    assert batch.ids[0].tolist() == [1, 1, *[TEXT] * 5, *after]
    assert batch.canvas_length.tolist() == [5 + FITTED[tail]]
    assert batch.text_length.tolist() == [5]
    assert batch.filled_length.tolist() == [min(8, 5 + FITTED[tail])]


def test_without_a_name_a_tail_is_sampled_as_ever():
    for share in (0.0, 0.4, 0.99):
        named, unnamed = (collated((2, 5), (1, 8), share=share, **o) for o in ({"tail": "sampled"}, {}))
        assert torch.equal(named.ids, unnamed.ids)
        assert torch.equal(named.canvas_length, unnamed.canvas_length)
    assert Layout().tail is None
    assert Layout().tail_blocks == Layout(tail="sampled").tail_blocks == Layout(tail="rainbow").tail_blocks == 2
    assert [Layout(tail=name).tail_blocks for name in ("none", "one", "block")] == [0, 0, 0]


def test_old_recipes_keep_their_meaning():
    assert DataSection(path="x", tail_blocks=0).layout(4).tail_blocks == 0
    assert DataSection(path="x", canvas=8, tail_blocks=3).layout(4).canvas == 8
    no_tail, block = collated((2, 5), tail_blocks=0), collated((2, 5), tail="block")
    assert torch.equal(no_tail.ids, block.ids)


def test_one_token_follows_only_an_answer_that_may_have_ended():
    """Answers are cut to whole blocks: one that fills all there are may be cut, and its end is not to be taught."""
    batch = collated((2, 8), (2, 5), (3, 8), tail="one", max_length=11)
    assert batch.canvas_length.tolist() == [8, 6, 8]
    assert collated((2, 8), tail="one", max_length=14).canvas_length.tolist() == [9]


def test_a_rainbow_fills_a_fixed_canvas_and_packed_rows():
    batch = collated((2, 5), canvas=10, tail="rainbow", cycle=(7, 8))
    assert batch.ids[0].tolist() == [1, 1, *[TEXT] * 5, 7, 8, 7, 8, 7]
    packed = collated((2, 5), (1, 6), tail="rainbow", tail_blocks=0, cycle=(7, 8), pack=True, max_length=20)
    assert packed.ids[0].tolist() == [1, 1, *[TEXT] * 5, 7, 8, 7, 1, *[TEXT] * 6, 7, 8]
    with pytest.raises(UserError, match=r"x:1: expected an answer without the tokens of data\.tail_tokens"):
        collated((2, 5), tail="rainbow", cycle=(7, TEXT))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"tail": "block", "tail_blocks": 1}, "data: expected no tail_blocks beside tail=block, which draws none"),
        ({"tail": "none", "tail_blocks": 2}, "data: expected no tail_blocks beside tail=none, which draws none"),
        ({"tail": "one", "canvas": 64}, "data: expected no tail beside canvas=64, which is filled whole"),
        ({"tail": "sampled", "canvas": 64}, "data: expected no tail beside canvas=64, which is filled whole"),
        ({"tail": "block", "tail_tokens": ["a", "b"]}, "data: expected tail_tokens only with tail=rainbow"),
        ({"tail_tokens": ["a", "b"]}, "data: expected tail_tokens only with tail=rainbow, found tail=sampled"),
        ({"tail": "rainbow", "tail_tokens": ["a"]}, "data.tail_tokens"),
        ({"tail": "blocks"}, "data.tail: expected 'none', 'one', 'block', 'sampled' or 'rainbow', found 'blocks'"),
    ],
)
def test_settings_that_contradict_are_refused_in_one_line(options, found):
    with pytest.raises(InvalidConfigError) as error:
        fill(DataSection, {"path": "x", **options}, "data")
    assert str(error.value).startswith(found)
    assert "\n" not in str(error.value)


def with_reserved(*texts):
    tokenizer = tokenizer_for("chatml")
    tokenizer.add_tokens([AddedToken(text, special=True) for text in texts])
    return tokenizer


@pytest.mark.parametrize(
    "spelling", ["<|reserved_token_{}|>", "<|reserved_special_token_{}|>", "[unused{}]", "<unused{}>"]
)
def test_a_cycle_of_reserved_tokens(spelling):
    tokenizer = with_reserved(*(spelling.format(n) for n in range(9)))
    ids = tokenizer.convert_tokens_to_ids([spelling.format(n) for n in range(9)])
    rainbow = Rows(tail="rainbow")
    assert tail_cycle(rainbow, tokenizer, taken={None, ids[1]}) == (ids[0], *ids[2:8])
    assert tail_cycle(Rows(tail="block"), tokenizer, taken=()) == ()
    assert all(a < b for a, b in pairwise(tail_cycle(rainbow, tokenizer, taken=())))
    with pytest.raises(UserError, match=f"expected {CYCLE} reserved tokens for .* found 6 in the tokenizer; name"):
        tail_cycle(rainbow, tokenizer, taken=(), size=ids[6])


def test_named_tokens():
    tokenizer = with_reserved("<|box_start|>", "<|box_end|>")
    ids = tuple(tokenizer.convert_tokens_to_ids(["<|box_end|>", "<|box_start|>"]))
    assert tail_cycle(Rows(tail="rainbow", tail_tokens=("<|box_end|>", "<|box_start|>")), tokenizer, taken=()) == ids
    for texts, taken, found in [
        (("<|box_end|>", "<|quad_end|>"), (), "found '<|quad_end|>', which is none"),
        (("<|box_end|>", "<|box_start|>"), ids[:1], "found '<|box_end|>', the mask token or an end"),
        (("<|box_end|>", "<|box_end|>"), (), "expected distinct tokens"),
    ]:
        with pytest.raises(UserError) as error:
            tail_cycle(Rows(tail="rainbow", tail_tokens=texts), tokenizer, taken=taken)
        assert found in str(error.value)
    with pytest.raises(UserError, match="with a tokenizer for data.tail=rainbow, found none"):
        tail_cycle(Rows(tail="rainbow"), None, taken=())


def test_tokenizers_without_reserved_tokens_are_refused():
    """Words such as 'reserved' in an ordinary vocabulary are no reserved tokens."""
    tokenizer = tokenizer_for("chatml")
    tokenizer.add_tokens([AddedToken(text, special=False) for text in ("reserved1", "unused22", "[note1]", "<unused>")])
    with pytest.raises(UserError, match="found 0 in the tokenizer"):
        tail_cycle(Rows(tail="rainbow"), tokenizer, taken=())


def test_check_and_the_preview_know_the_tail():
    values = {
        "model": {"from_scratch": {"hidden_size": 16, "layers": 1, "heads": 1}},
        "data": {"task": "sorting", "size": 4, "tail": "rainbow"},
        "objective": {"name": "blockwise", "block_size": 4},
    }
    (problem,) = check(values).problems
    assert "expected 7 reserved tokens for data.tail=rainbow" in problem
    values["data"]["tail_tokens"] = ["(", "<|mask|>"]
    (problem,) = check(values).problems
    assert "found '<|mask|>', the mask token or an end of the model" in problem
    values["data"]["tail_tokens"] = ["(", ")"]
    assert check(values).problems == []
    tokenizer = builtin_tokenizer("digits")
    data = [Encoded(prompt=tokenizer("1:")["input_ids"], answer=tokenizer("ab<|endoftext|>")["input_ids"], source="x")]
    cycle = tuple(tokenizer.convert_tokens_to_ids(["(", ")"]))
    layout = Layout(block_size=6, tail="rainbow", tail_blocks=0)
    shown = preview(
        data, tokenizer, layout=layout, filler_id=tokenizer.eos_token_id, end_id=tokenizer.eos_token_id, cycle=cycle
    )
    fillers = [(s.text, s.tokens) for s in shown.examples[0].segments if s.kind == "filler"]
    assert fillers == [("(", 1), (")", 1), ("(", 1)]
