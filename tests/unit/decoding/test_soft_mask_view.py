"""The view that carries the last predictions along."""

import math
from dataclasses import replace

import pytest
import torch

from toys import Table
from unmask.core.batch import Example, lay_out
from unmask.core.query import SoftTokens
from unmask.core.random import Draws, RecordedDraws
from unmask.decoding import CanvasView, Decoder, SoftMaskView, decode
from unmask.decoding.loop import start
from unmask.errors import UserError
from unmask.generate import generate
from unmask.heads import SoftMask
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import Blockwise, SoftMasked

PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 1]]


def softened(scale=0.5):
    """Of a head that gives way at any entropy: these models are never sure."""
    head = SoftMask(torch.nn.Identity())
    head.raw_centre.data = torch.tensor(6.0)
    head.raw_scale.data = torch.tensor(math.log(scale / (1 - scale)))
    return head


def model(scale=0.5, **options):
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.2), **options)
    lm.attach("soft_mask", {})
    lm.heads["soft_mask"].load_state_dict(softened(scale).state_dict())
    return lm


def canvas(lm, prompts=PROMPTS, length=8):
    examples = [Example(prompt=p, answer=(), order=i, canvas=length) for i, p in enumerate(prompts)]
    return lay_out(examples, block_size=4, filler_id=getattr(lm, "filler_id", 9))


def test_open_places_of_live_rows_carry_their_blend_by_hand():
    """Row 0 is done, a place of row 1 is written meanwhile; rows are renumbered."""
    toy = Table(heads={"soft_mask": softened()})
    batch = canvas(toy)
    state = start(batch, toy.mask_id)
    at = torch.tensor([[0, 3], [1, 1], [1, 2], [2, 5]])
    soft = SoftTokens(query_positions=at, ids=torch.arange(8).view(4, 2), weights=torch.arange(8.0).view(4, 2))
    is_open = state.is_open.clone()
    is_open[1, 1] = False
    state = replace(state, soft=soft, is_open=is_open)
    query, queried = SoftMaskView().query(toy, state, torch.tensor([1, 2]), at)
    assert query.soft.query_positions.tolist() == [[0, 2], [1, 5]]
    assert query.soft.ids.tolist() == [[4, 5], [6, 7]]
    assert query.soft.weights.tolist() == [[4, 5], [6, 7]]
    assert queried is at
    plain, _ = CanvasView().query(toy, state, torch.tensor([1, 2]), at)
    assert torch.equal(query.ids, plain.ids)
    assert plain.soft is None


def test_the_first_forward_reads_plain_masks():
    toy = Table(heads={"soft_mask": softened()})
    batch = canvas(toy)
    query, _ = SoftMaskView().query(
        toy, start(batch, toy.mask_id), torch.tensor([0, 1, 2]), torch.zeros(0, 2, dtype=torch.int64)
    )
    assert query.soft is None


def test_every_forward_carries_the_predictions_of_the_one_before():
    """And nothing for a block that was not predicted yet."""
    seen = []

    class Spy(Table):
        def predict(self, query, query_positions):
            seen.append((query, query_positions))
            return super().predict(query, query_positions)

    toy = Spy(heads={"soft_mask": softened()})
    batch = canvas(toy, [[1, 2, 3]])
    resolved = Decoder(block_size=4, stop="never", view="soft_mask").resolve()
    steps = list(decode(toy, batch, resolved, draws=Draws(seed=0)))
    assert len(steps) == 8
    for index, (query, at) in enumerate(seen):
        queried = {tuple(place) for place in at.tolist()}
        soft = set() if query.soft is None else {tuple(place) for place in query.soft.query_positions.tolist()}
        assert soft == (set() if index % 4 == 0 else queried)
        if index % 4:
            logits = super(Spy, toy).predict(*seen[index - 1])
            kept = [seen[index - 1][1].tolist().index(place) for place in query.soft.query_positions.tolist()]
            ids, weights = toy.heads["soft_mask"].blend(logits, toy.mask_id)
            assert torch.equal(query.soft.ids, ids[kept])
            torch.testing.assert_close(query.soft.weights, weights[kept])


def test_training_and_decoding_blend_alike():
    """The same open block gives the same question in training, and the view keeps the same blends of it."""
    lm = model()
    batch = lay_out(
        [Example(prompt=[1, 2, 3], answer=[4, 5, 6, lm.filler_id], order=0, canvas=8)], block_size=4,
        filler_id=lm.filler_id,
    )  # fmt: skip
    recorded = {"t": torch.ones(1), "block": torch.zeros(1), "mask": torch.zeros(1, 11), "soft": torch.zeros(1)}
    trained = SoftMasked(inner=Blockwise(block_size=4)).noise(
        batch, model=lm, draws=RecordedDraws(seed=0, values=recorded), progress=0.0
    )
    state = start(batch, lm.mask_id)
    query, at = SoftMaskView().query(lm, state, torch.tensor([0]), trained.query_positions)
    with torch.no_grad():
        kept = SoftMaskView().remember(lm, at, lm.logits(query, at))
    assert torch.equal(trained.query.ids, query.ids)
    assert torch.equal(trained.query.soft.query_positions, kept.query_positions)
    assert torch.equal(trained.query.soft.ids, kept.ids)
    torch.testing.assert_close(trained.query.soft.weights.detach(), kept.weights)


@pytest.mark.parametrize("shift", [False, True])
def test_a_batch_of_uneven_prompts_equals_single_runs(shift):
    lm = model(shift=shift)
    options = {"max_new_tokens": 8, "block_size": 4, "stop": "never", "view": "soft_mask"}
    together = generate(lm, PROMPTS, **options)
    for prompt, answer in zip(PROMPTS, together.answers, strict=True):
        assert generate(lm, [prompt], **options).answers[0].tolist() == answer.tolist()


def test_it_changes_what_is_read_and_is_the_default_of_models_with_the_head():
    prompts = [[d, e, 16] for d in range(8) for e in range(3)]
    texts = {}
    for view in ("canvas", "soft_mask", None):
        out = generate(model(0.9), prompts, max_new_tokens=8, block_size=8, stop="never", view=view)
        texts[view] = [answer.tolist() for answer in out.answers]
    assert texts["canvas"] != texts["soft_mask"]
    assert texts[None] == texts["soft_mask"]


def test_a_share_of_nothing_is_the_canvas():
    prompts = [[d, 16] for d in range(8)]
    options = {"max_new_tokens": 8, "block_size": 4, "stop": "never"}
    one, other = (generate(model(1e-12), prompts, view=view, **options) for view in ("canvas", "soft_mask"))
    assert [a.tolist() for a in one.answers] == [a.tolist() for a in other.answers]


def test_a_model_without_the_head_is_refused_in_one_line():
    with pytest.raises(UserError, match="needs a model with the head 'soft_mask', found none; train it with") as error:
        generate(
            from_scratch(ScratchSpec(hidden_size=32, layers=1, heads=2)), [[1, 2]], max_new_tokens=4, view="soft_mask"
        )
    assert "\n" not in str(error.value)
