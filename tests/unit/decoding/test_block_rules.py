"""AdaBlock and Swordsman: blocks that are cut on the predictions for them. Sub-blocks of the model's blocks."""

import pytest
import torch
from places import places, trace

from toys import Hash, Table
from unmask.core.batch import Example, lay_out
from unmask.decoding import AdaBlock, Decoder, Fixed, SubBlocks, Swordsman
from unmask.decoding.loop import start
from unmask.errors import UserError
from unmask.generate import generate
from unmask.models import ScratchSpec, from_scratch

INF = float("inf")


def cut(rule, candidates):
    found = rule.cut(candidates)
    return None if found is None else found.tolist()


@pytest.mark.parametrize(
    ("token", "p", "fields", "width"),
    [
        ([1, 7, 1, 7], [0.9, 0.4, 0.9, 0.6], {}, 4),  # the surest delimiter, not the nearest
        ([1, 7, 1, 7], [0.9, 0.6, 0.9, 0.6], {}, 2),  # ties go to the left
        ([1, 7, 1, 1], [0.9, 0.29, 0.9, 0.9], {}, 3),  # below 0.3: the usual size
        ([1, 7, 1, 1], [0.9, 0.3, 0.9, 0.9], {}, 2),  # at the threshold
        ([1, 1, 1, 1], [0.9] * 4, {}, 3),
        ([1, 7, 1, 7], [0.9, 0.4, 0.9, 0.6], {"window": 0.25}, 2),  # 16 * .25 / 2: two places are looked at
        ([1, 7, 1, 1], [0.9, 1.0, 0.9, 0.9], {"threshold": INF}, 3),
        ([1, 7, 1, 1], [0.9, 1.0, 0.9, 0.9], {"delimiters": None}, 3),
    ],
)
def test_a_block_ends_at_the_surest_delimiter(token, p, fields, width):
    rule = AdaBlock(**{"block_size": 3, "delimiters": (7,), "window": 0.5, **fields})
    assert cut(rule, places([0.0] * 4, token=token, canvas=8, low_confidence=p)) == [width]


def test_only_open_places_end_a_block_and_only_at_its_start():
    rule = AdaBlock(block_size=3, delimiters=(7,), window=1.0)
    values = {"token": [1, 7, 1, 7], "low_confidence": [0.9, 0.8, 0.9, 0.6], "canvas": 8}
    assert cut(rule, places([0.0] * 4, closed=[1], **values)) == [4]
    assert cut(rule, places([0.0] * 4, steps_done=1, **values)) is None


@pytest.mark.parametrize(
    ("entropy", "fields", "width"),
    [
        ([0.1, 0.2, 1.5, 0.1], {"least": 1}, 2),  # up by 1.3 after the second
        ([0.1, 1.5, 3.0, 0.1], {"least": 1}, 1),
        ([0.1, 1.5, 3.0, 0.1], {"least": 2}, 2),
        ([0.1, 1.5, 1.6, 0.1], {"least": 2}, 3),  # no other jump: the usual size
        ([3.0, 0.1, 0.1, 0.1], {"least": 1}, 3),  # falls are no jumps
        ([0.1, 0.2, 1.5, 0.1], {"least": 1, "jump": INF}, 3),
        ([0.1, 0.2, 0.2, 1.5], {"least": 1, "window": 0.375}, 3),  # the window ends before it
    ],
)
def test_a_block_ends_before_a_jump_of_the_entropy(entropy, fields, width):
    rule = Swordsman(**{"block_size": 3, "window": 1.0, **fields})
    assert cut(rule, places([0.0] * 4, canvas=8, entropy=[-h for h in entropy])) == [width]


def test_written_places_make_no_jumps():
    rule = Swordsman(block_size=4, window=1.0, least=1)
    assert cut(rule, places([0.0] * 4, closed=[2], canvas=8, entropy=[-0.1, -0.2, -5.0, -0.1])) == [4]
    assert cut(Swordsman(block_size=1, window=1.0, least=1), places([0.0], canvas=1, entropy=[-0.1])) == [1]


RULES = [
    {"name": "adablock", "delimiters": [3, 5, 7], "threshold": 0.15, "window": 0.5},
    {"name": "swordsman", "jump": 0.05, "least": 2, "window": 0.5},
]


@pytest.mark.parametrize("blocks", RULES, ids=["adablock", "swordsman"])
def test_blocks_differ_from_fixed_ones_and_cover_the_canvas(blocks):
    steps = trace(blocks=blocks, prompts=[(1,)])
    assert steps != trace(prompts=[(1,)])
    assert sorted(offset for at, _, _ in steps for _, offset in at) == list(range(16))


@pytest.mark.parametrize("fields", [{}, {"threshold": 0.3}, {"stop": "eos"}, {"selection": "dilated"}])
def test_neutral_settings_are_fixed_blocks(fields):
    for blocks in ({"name": "adablock", "delimiters": [3, 5], "threshold": INF}, {"name": "swordsman", "jump": INF},
                   "adablock"):  # fmt: skip
        assert trace(fields, blocks=blocks) == trace(fields)


def test_every_block_ends_where_the_rule_says():
    """Replayed on a table, whose predictions never change: each block ends at the surest delimiter of its window."""
    table, delimiters = Table(), (3, 5, 7)
    examples = trace(model=table, blocks={**RULES[0], "threshold": 0}, prompts=[(1,)], threshold=-INF)
    said = {offset: token for at, tokens, _ in examples for (_, offset), token in zip(at, tokens, strict=True)}
    start = 0
    for at, _, _ in examples:  # one forward a block
        offsets = [offset for _, offset in at]
        assert offsets == list(range(start, start + len(offsets)))
        end = offsets[-1]
        window = [offset for offset in range(start, min(start + 8, 16)) if said[offset] in delimiters]
        assert end in window or (not window and end == min(start + 3, 15))
        start = end + 1
    assert start == 16


def test_the_first_predictions_are_used_for_the_first_step():
    model = Hash()
    steps = trace(model=model, blocks=RULES[0], prompts=[(1,)])
    assert model.forwards == len(steps) == 16


def test_given_sizes_and_refusals():
    assert Decoder(blocks="adablock", block_size=8).resolve().blocks.block_size == 8
    assert Decoder(blocks={"name": "swordsman", "block_size": 8}).resolve().block_size == 8
    with pytest.raises(UserError, match="steps: blocks that are cut as decoding goes"):
        trace(blocks="adablock", steps=8)
    for make, fields in ((AdaBlock, {"threshold": -1}), (AdaBlock, {"window": 0}), (Swordsman, {"least": 0})):
        with pytest.raises(UserError):
            make(**fields)


def test_line_breaks_of_the_tokenizer_are_the_delimiters():
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=1, heads=2, init_std=0.3))
    breaks = [token for token in range(lm.vocab_size) if "\n" in lm.tokenizer.decode([token])]
    named = {"name": "adablock", "delimiters": breaks, "threshold": 0}
    options = {"block_size": 4, "max_new_tokens": 16, "stop": "never", "keep_steps": True}
    found = [
        [step.at.tolist() for step in generate(lm, [[1, 2]], blocks=blocks, **options).steps]
        for blocks in ({"name": "adablock", "threshold": 0}, named)
    ]
    assert breaks
    assert found[0] == found[1]
    lm.tokenizer = None
    with pytest.raises(UserError, match=r"'adablock': expected delimiters, .*; write {name: adablock, delimiters: \["):
        generate(lm, [[1, 2]], blocks="adablock", **options)


def test_the_window_is_a_share_of_the_canvas_and_never_less_than_the_usual_size():
    rule = AdaBlock(block_size=4, window=0.25)
    examples = [Example(prompt=[1], answer=(), order=row, canvas=length) for row, length in enumerate((8, 40, 20))]
    state = start(lay_out(examples, block_size=4, filler_id=9), 10)
    assert rule.end(torch.tensor([0, 0, 12]), state).tolist() == [4, 10, 17]


@pytest.mark.parametrize(
    ("grid", "begins", "expected"),
    [
        ("answer", [0, 0, 0], [4, 4, 4]),
        ("text", [0, 0, 0], [3, 4, 1]),  # prompts of 1, 4 and 7 tokens
        ("text", [3, 4, 1], [7, 8, 5]),
        ("text", [7, 8, 5], [10, 10, 9]),
    ],
)
def test_blocks_are_counted_from_the_answer_or_from_the_text(grid, begins, expected):
    examples = [Example(prompt=[1] * n, answer=(), order=row, canvas=10) for row, n in enumerate((1, 4, 7))]
    state = start(lay_out(examples, block_size=4, filler_id=9), 10)
    assert Fixed().sized(4, grid).end(torch.tensor(begins), state).tolist() == expected
    assert Fixed(grid="answer").sized(4, "text").grid == "answer"


def ends(rule, *, prompt, canvas):
    """Canvas offsets where the blocks of a row end, one after the other."""
    batch = lay_out([Example(prompt=[1] * prompt, answer=(), order=0, canvas=canvas)], block_size=4, filler_id=9)
    state, found = start(batch, 10), [0]
    while found[-1] < canvas:
        found.append(int(rule.end(torch.tensor([found[-1]]), state)))
    return found[1:]


@pytest.mark.parametrize(
    ("grid", "prompt", "fields", "expected"),
    [
        ("text", 8, {}, [1, 4, 8, 9, 12, 16]),  # a first column, the rest of its sub-block, the next sub-block
        ("text", 11, {}, [1, 5, 6, 9, 13, 14, 16]),  # the prompt has begun a block
        ("answer", 11, {}, [1, 4, 8, 9, 12, 16]),
        ("text", 8, {"seeded": False}, [4, 8, 12, 16]),
        ("text", 8, {"sub_block_size": 3, "seeded": False}, [3, 6, 8, 11, 14, 16]),  # the last of a block is shorter
        ("text", 8, {"sub_block_size": 8}, [1, 8, 9, 16]),
    ],
)
def test_sub_blocks_by_hand(grid, prompt, fields, expected):
    rule = SubBlocks(**{"sub_block_size": 4, **fields}).sized(8, grid)
    assert ends(rule, prompt=prompt, canvas=16) == expected


def test_sub_blocks_share_steps_out():
    assert [SubBlocks(sub_block_size=4).sized(8).blocks(canvas) for canvas in (8, 16, 20, 21)] == [2, 4, 5, 6]
    assert Decoder(blocks="sub_blocks", steps=12).resolve(trained_block_size=16).steps_per_block(32) == 3
