"""The matrices that the docstrings show, and nothing across documents."""

import pytest
import torch

from unmask.attention import PAD, Bidirectional, BlockCausal, Causal, Columns, may_attend


def columns(block, segment=None):
    block = torch.tensor([block])
    return Columns(
        position=torch.arange(block.shape[1])[None],
        segment=torch.zeros_like(block) if segment is None else torch.tensor([segment]),
        block=block,
        stream=torch.zeros_like(block),
    )


def matrix(rule):
    lines = [line.split() for line in type(rule).__doc__.splitlines()]
    return [[int(x) for x in line] for line in lines if line and set(line) <= {"0", "1"}]


@pytest.mark.parametrize(
    ("rule", "block"), [(Bidirectional(), [0, 0, 0]), (Causal(), [0, 0, 0]), (BlockCausal(), [-1, 0, 0, 1, 1])]
)
def test_dense_form_is_the_docstring(rule, block):
    c = columns(block)
    assert may_attend(rule, c, c)[0].int().tolist() == matrix(rule)


@pytest.mark.parametrize("rule", [Bidirectional(), Causal(), BlockCausal()])
def test_documents_and_padding_are_apart_and_nobody_attends_to_nothing(rule):
    c = columns([-1, 0, -1, 0, -1, -1], segment=[0, 0, 1, 1, PAD, PAD])
    dense = may_attend(rule, c, c)[0]
    assert dense.any(1).all()
    segment = c.segment[0]
    assert not dense[segment[:, None] != segment[None, :]].any()


def test_a_cache_may_evaluate_a_few_query_columns():
    c = columns([-1, 0, 0, 1, 1])
    whole = may_attend(BlockCausal(), c, c)
    assert torch.equal(may_attend(BlockCausal(), c[:, 3:], c), whole[:, 3:])
