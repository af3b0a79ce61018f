"""Loss by noise level and by block, and the share of mask tokens, as a step has seen them."""

import json

import pytest
import torch

from unmask.config.components import choose
from unmask.core.batch import Example, lay_out
from unmask.core.protocols import Noised, Scored
from unmask.core.random import Draws
from unmask.data import Collator
from unmask.objectives import OBJECTIVES, Vanilla, sized
from unmask.train import Layout, TrainRun, train
from unmask.train.tally import shown, tally

MASK = 9


def by_hand(offset):
    """Two answers of 3 and 20 tokens in blocks of 2; five predictions, one of them worth nothing."""
    examples = [Example(prompt=[1], answer=[2] * n, order=i, canvas=n) for i, n in enumerate((3, 20))]
    batch = lay_out(examples, block_size=2, filler_id=0)
    ids = batch.ids.clone()
    ids[0, 1:3] = ids[1, 1] = ids[1, 20] = MASK
    level = torch.tensor([0.125, 0.126, 1.0, 1.0, 0.5])
    noised = Noised(
        query=batch.query(ids), query_positions=torch.tensor([[0, 1], [0, 2], [1, 1], [1, 20], [1, 3]]),
        targets=torch.full((5,), 2), weight=torch.tensor([1.0, 2.0, 1.0, 1.0, 0.0]), count=torch.tensor(2.0),
        example=torch.tensor([0, 0, 1, 1, 1]), noise_level=level, group=torch.tensor([0, 0, 1, 1, 1]), offset=offset,
    )  # fmt: skip
    return batch, noised, Scored(nll=torch.tensor([1.0, 2.0, 4.0, 8.0, 99.0]))


def test_means_computed_by_hand():
    batch, noised, scored = by_hand(torch.tensor([0, 1, 0, 19, 2]))
    found = shown(tally(batch, noised, scored, mask_id=MASK))
    assert found["nll_by_noise_level"] == [1.0, 2.0, None, None, None, None, None, 6.0]
    assert found["nll_by_block"] == [round(7 / 3, 6), *[None] * 6, 8.0]  # block 9 counts with the eighth
    assert found["masked_share"] == round(4 / 23, 6)


def test_a_method_that_does_not_tell_offsets_has_no_loss_by_block():
    batch, noised, scored = by_hand(None)
    assert set(shown(tally(batch, noised, scored, mask_id=MASK))) == {"nll_by_noise_level", "masked_share"}


@pytest.mark.parametrize(
    "objective",
    ["vanilla", "blockwise", "block_diffusion", "nbdiff", "wsd", "sdlm", "remedi", "complementary", "lift",
     {"name": "mixture", "members": ["vanilla", "block_diffusion"]}],
)  # fmt: skip
@pytest.mark.parametrize("grid", ["answer", "text"])
def test_offsets_are_those_of_the_predicted_tokens(tiny, sorting, objective, grid):
    """The token at an example's offset is the target, in place, in streams and in packed rows."""
    lm, method = tiny(), sized(choose(OBJECTIVES, objective, "objective"), 4)
    if objective == "remedi":
        lm.attach("confidence", {"taps": 2, "lr": 1e-3})
    layout = Layout(block_size=4, grid=grid, max_length=160, pack=True)
    items = [{"prompt": e.prompt, "answer": e.answer, "order": i, "source": ""} for i, e in enumerate(sorting[:6])]
    batch = Collator(layout=layout, filler_id=lm.filler_id, draws=Draws(seed=0))(items)
    noised = method.noise(batch, model=lm, draws=Draws(seed=0), progress=0.9)
    known = noised.offset >= 0
    assert known.any()
    at = (batch.owner[None] == noised.example[known][:, None, None]) & (
        batch.offset[None] == noised.offset[known][:, None, None]
    )
    assert (at.sum((1, 2)) == 1).all()
    assert torch.equal(torch.stack([batch.ids[here][0] for here in at]), noised.targets[known])


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()][1:]


def test_a_step_shows_the_same_however_it_is_cut(tiny, sorting, tmp_path):
    found = []
    for size, times in ((8, 1), (2, 4)):
        run = TrainRun(objective=Vanilla(), steps=2, batch_size=size, accumulate=times, lr=1e-3)
        layout = Layout(block_size=4)
        found.append(lines(train(tiny(), sorting, run, out=tmp_path / f"{size}", layout=layout, show=False).folder))
    for one, other in zip(*found, strict=True):
        assert one["masked_share"] == other["masked_share"]
        for name in ("nll_by_noise_level", "nll_by_block"):
            assert len(one[name]) == 8
            for a, b in zip(one[name], other[name], strict=True):
                assert (a is None) == (b is None)
                assert a is None or abs(a - b) < 1e-4
