"""Uneven rows in groups: the same answers, less padding."""

import itertools

import pytest
import torch

from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, decode
from unmask.decoding.row_groups import _CALL, _cheapest
from unmask.models import ScratchSpec, from_scratch

LENGTHS = (3, 400, 10, 390, 180)


@pytest.mark.parametrize("lengths", [(5,), (10, 10, 500, 510), (1, 100, 200, 300, 400), (7, 7, 7), (50, 120, 121, 300)])
def test_the_split_is_the_cheapest_of_all(lengths):
    def cost(cuts):
        return sum((end - begin) * lengths[end - 1] + _CALL for begin, end in cuts)

    inner = range(1, len(lengths))
    every = [
        tuple(itertools.pairwise((0, *cuts, len(lengths))))
        for number in range(len(lengths))
        for cuts in itertools.combinations(inner, number)
    ]
    assert cost(_cheapest(lengths)) == min(map(cost, every))


@pytest.mark.parametrize("attention", ["bidirectional", "block_causal"])
def test_a_batch_equals_single_rows_and_reads_less(attention):
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.4), tokenizer="digits")
    lm.model.eval()
    generator = torch.Generator().manual_seed(0)
    examples = [
        Example(prompt=torch.randint(0, 8, (n,), generator=generator).tolist(), answer=(), order=row, canvas=4)
        for row, n in enumerate(LENGTHS)
    ]
    resolved = Decoder(block_size=2, stop="never", cache="none").resolve()
    batch = lay_out(examples, block_size=2, filler_id=lm.filler_id)
    before = lm.flops.tokens
    with torch.inference_mode():
        steps = list(decode(lm, batch, resolved, draws=Draws(seed=0)))
    read = lm.flops.tokens - before
    assert {step.forwards for step in steps} == {3}  # (3, 10), (180,), (390, 400)
    assert read <= len(steps) * (2 * 14 + 184 + 2 * 404)
    for row, example in enumerate(examples):
        alone = lay_out([example], block_size=2, filler_id=lm.filler_id)
        with torch.inference_mode():
            *_, last = decode(lm, alone, resolved, draws=Draws(seed=0))
        assert torch.equal(steps[-1].state.ids[row][batch.is_canvas[row]], last.state.ids[0][alone.is_canvas[0]])
