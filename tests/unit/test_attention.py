"""The matrices that the docstrings show, and nothing across documents."""

import pytest
import torch

from unmask.core.attention import ANCHORED, CLEAN, OPEN, PAD, SHADOW, Bidirectional, BlockCausal, Columns, may_attend
from unmask.core.attention_rules import Anchored, BlockDiffusion, Causal, ContextCausal, PerRow, Shadowed

TWO_STREAMS = {
    "position": [0, 1, 2, 3, 0, 1, 2, 3],
    "block": [0, 0, 1, 1, 0, 0, 1, 1],
    "stream": [CLEAN] * 4 + [OPEN] * 4,
}
ANCHORS = {
    "position": [0, 1, 2, 3, 4, 2, 3, 3, 4],
    "block": [-1] * 5 + [2, 2, 3, 3],
    "stream": [CLEAN] * 5 + [ANCHORED] * 4,
}
SHADOWS = {"position": [0, 1, 2, 1, 2], "block": [0] * 5, "stream": [OPEN] * 3 + [SHADOW] * 2}
SHOWN = [
    (Bidirectional(), {"block": [0, 0, 0]}),
    (Causal(), {"block": [0, 0, 0]}),
    (BlockCausal(), {"block": [-1, 0, 0, 1, 1]}),
    (BlockDiffusion(), TWO_STREAMS),
    (ContextCausal(), TWO_STREAMS),
    (Anchored(), ANCHORS),
    (Shadowed(), SHADOWS),
]
RULES = [*(rule for rule, _ in SHOWN), Anchored(causal_blocks=True)]
each_rule = pytest.mark.parametrize("rule", RULES, ids=str)


def columns(block, segment=None, position=None, stream=None):
    block = torch.tensor([block])
    return Columns(
        position=torch.arange(block.shape[1])[None] if position is None else torch.tensor([position]),
        segment=torch.zeros_like(block) if segment is None else torch.tensor([segment]),
        block=block,
        stream=torch.zeros_like(block) if stream is None else torch.tensor([stream]),
    )


def dense(rule, c):
    return may_attend(rule, c, c)[0].int().tolist()


def matrix(rule):
    lines = [line.split() for line in type(rule).__doc__.splitlines()]
    return [[int(x) for x in line] for line in lines if line and set(line) <= {"0", "1"}]


@pytest.mark.parametrize(("rule", "shown"), SHOWN, ids=lambda value: type(value).__name__)
def test_dense_form_is_the_docstring(rule, shown):
    assert len(matrix(rule)) == len(shown["block"])
    assert dense(rule, columns(**shown)) == matrix(rule)


def test_anchored_blocks_may_be_causal_inside():
    """The last four rows of the docstring's picture, with each slot seeing no later one."""
    assert dense(Anchored(causal_blocks=True), columns(**ANCHORS))[5:] == [
        [1, 1, 0, 0, 0, 1, 0, 0, 0],
        [1, 1, 0, 0, 0, 1, 1, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 1, 0],
        [1, 1, 1, 0, 0, 0, 0, 1, 1],
    ]


@pytest.mark.parametrize("block_size", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("prompt", [0, 3])
def test_two_streams_by_their_definition(prompt, block_size):
    """Column by column, as a loop: what a noisy token sees, what a clean one sees."""
    length = 8
    text = [*range(prompt + length)]
    block = [(i - prompt) // block_size if i >= prompt else -1 for i in text]
    c = columns(
        block=block + block[prompt:],
        position=text + text[prompt:],
        stream=[CLEAN] * len(text) + [OPEN] * length,
    )
    seen = {"blocks": dense(BlockDiffusion(), c), "context": dense(ContextCausal(), c)}
    for q in range(len(text) + length):
        for k in range(len(text) + length):
            from_noisy, to_noisy = q >= len(text), k >= len(text)
            a, b = int(c.block[0, q]), int(c.block[0, k])
            is_past = int(c.position[0, k]) <= int(c.position[0, q])
            if from_noisy:
                expected = (a == b) if to_noisy else (b < a)
                assert seen["blocks"][q][k] == seen["context"][q][k] == expected
            else:
                assert seen["blocks"][q][k] == (not to_noisy and b <= a)
                assert seen["context"][q][k] == (not to_noisy and is_past)


def packed():
    """Two documents with a block in each of three streams, and padding."""
    position = [0, 1, 2, 1, 2, 0, 1, 2, 1, 2, 0, 0]
    block = [-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, -1]
    anchored = [-1, -1, -1, 1, 1, -1, -1, -1, 1, 1, -1, -1]
    segment = [0] * 5 + [1] * 5 + [PAD] * 2

    def streams(own):
        return [CLEAN] * 3 + [own] * 2 + [CLEAN] * 3 + [own] * 2 + [CLEAN, OPEN]

    two = columns(block, segment, position, streams(OPEN))
    return {OPEN: two, ANCHORED: columns(anchored, segment, position, streams(ANCHORED))}


@each_rule
def test_documents_and_padding_are_apart_and_nobody_attends_to_nothing(rule):
    c = packed()[ANCHORED if isinstance(rule, Anchored) else OPEN]
    seen = may_attend(rule, c, c)[0]
    assert seen.any(1).all()
    segment = c.segment[0]
    assert not seen[segment[:, None] != segment[None, :]].any()
    assert torch.equal(seen[:5, :5], seen[5:10, 5:10])


@each_rule
def test_a_cache_may_evaluate_a_few_query_columns(rule):
    c = packed()[ANCHORED if isinstance(rule, Anchored) else OPEN]
    assert torch.equal(may_attend(rule, c[:, 3:6], c), may_attend(rule, c, c)[:, 3:6])


def test_rows_of_several_rules_follow_their_own():
    rows = torch.cat([c.position for c in packed().values()] * 4)
    two, anchored = packed().values()
    which = torch.tensor([index % len(RULES) for index in range(len(rows))])
    c = Columns(
        position=rows,
        **{
            name: torch.cat([getattr(two, name), getattr(anchored, name)] * 4)
            for name in ("segment", "block", "stream")
        },
    )
    together = may_attend(PerRow(tuple(RULES), which), c, c)
    assert set(which.tolist()) == set(range(len(RULES)))
    for row, index in enumerate(which.tolist()):
        alone = c[row : row + 1]
        assert torch.equal(together[row], may_attend(RULES[index], alone, alone)[0])
        assert torch.equal(
            may_attend(PerRow(tuple(RULES), which), c[:, 2:5], c)[row], may_attend(RULES[index], alone, alone)[0, 2:5]
        )


def test_rules_are_values():
    """Questions of one rule are put in one forward, so equal rules must be equal."""
    assert BlockDiffusion() == BlockDiffusion()
    assert len({Anchored(), Anchored(causal_blocks=False), Anchored(causal_blocks=True)}) == 2
