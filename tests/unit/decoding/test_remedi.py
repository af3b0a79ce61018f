import pytest
import torch
from places import places, state_of, trace

from toys import Doubts, Hash
from unmask.decoding import Decoder, RemediRevision
from unmask.errors import UserError
from unmask.generate import generate, prepare, resolve_decoder
from unmask.models import ScratchSpec, from_scratch


def change(correctness, closed, chosen):
    candidates = places([0.5] * len(correctness), closed=closed, correctness=correctness)
    picked = torch.zeros_like(candidates.is_open)
    picked[0, chosen] = True
    result = RemediRevision().revise(state_of(), candidates, picked)
    return result.write[0].nonzero().flatten().tolist(), result.hide[0].nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("correctness", "closed", "chosen", "written", "hidden"),
    [
        ([1.0, 4.0, 3.0, 2.0], [0], [3], [1, 2], [0]),  # two places: 4 and 3; the written 1 falls behind
        ([1.0, 4.0, 3.0, 2.0], [1], [3], [2], []),
        ([1.0, 4.0, 3.0, 2.0], [0, 1], [2], [2, 3], [0]),
        ([-5.0, -1.0, -9.0], [], [0], [1], []),
        ([-5.0, -1.0, -9.0], [1], [0, 2], [0, 2], []),  # the last step fills everything
        ([0.0, 0.0, 0.0], [1], [2], [0], []),  # among equals: written, then left
    ],
)
def test_the_most_trusted_places_are_filled(correctness, closed, chosen, written, hidden):
    assert change(correctness, closed, chosen) == (written, hidden)


def test_a_full_row_beside_others_stays():
    assert change([1.0, 2.0], [0, 1], []) == ([], [])


class Certain(Doubts):
    """Sees its own prediction: h is its probability where nothing is written, and no doubt elsewhere."""

    def read(self, query_positions):
        query = self.model.query
        logits = self.model.predict(query, query_positions).clone()
        p = logits.softmax(-1)
        logits[:, self.model.mask_id] = -torch.inf
        p = p.gather(1, logits.argmax(-1)[:, None]).squeeze(1)
        is_open = query.ids[query_positions[:, 0], query_positions[:, 1]] == self.model.mask_id
        return torch.where(is_open, p, torch.inf)


def test_without_doubts_it_is_quota():
    for fields in ({}, {"steps": 8}, {"blocks": "whole", "steps": 5}):
        model = Hash()
        model.heads["confidence"] = Certain(model)
        assert trace(fields, model=model, revision="remedi") == trace(fields)


@pytest.mark.parametrize("fields", [{}, {"steps": 8, "block_size": 8}, {"steps": 5, "blocks": "whole"}])
def test_each_step_fills_exactly_its_quota(fields):
    """K_i: so many places of the block are written after step i, whichever they are."""
    plain = trace(fields, prompts=[(1,)])
    doubted = trace(fields, prompts=[(1,)], revision="remedi")
    assert [len(at) for at, _, _ in plain] == [len(at) - len(back) for at, _, back in doubted]
    assert any(back for _, _, back in doubted)
    assert plain != doubted


def test_the_row_ends_between_blocks():
    """While its block is open, an end token may still be taken back."""

    class Ends(Hash):
        def predict(self, query, query_positions):
            out = super().predict(query, query_positions)
            out[:, 9] += 6.0 * (query.columns.position[query_positions[:, 0], query_positions[:, 1]] == 2)
            return out

    steps = trace(model=Ends(), revision="remedi", stop="eos", prompts=[(1,)])
    open_left = 0
    for at, _, back in steps:
        open_left += len(at) - len(back)
    assert open_left % 4 == 0


@pytest.mark.parametrize("shift", [False, True])
def test_on_a_model_with_a_confidence_stream(shift):
    """The stream's own logits decide: the first step writes where they are largest, and a batch equals singles."""
    spec = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.4, seed=5)
    lm = from_scratch(spec, shift=shift)
    lm.attach("confidence", {"taps": 2})
    head = lm.heads["confidence"]
    with torch.no_grad():
        head.out.weight.copy_(torch.randn(1, 32, generator=torch.Generator().manual_seed(1)) * 3)
    rows, length = [[1, 2, 3], [4], [5, 6, 7, 8, 9]], 8
    options = {"block_size": 4, "revision": "remedi", "stop": "never", "max_new_tokens": length, "keep_steps": True}
    together = generate(lm, rows, **options)
    assert any(len(step.taken_back) for step in together.steps)
    assert together.forwards == length
    for row, prompt in enumerate(rows):
        alone = generate(lm, [prompt], **options)
        assert torch.equal(alone.sequences[0], together.sequences[row])
        batch = prepare(lm, [prompt], length, resolve_decoder(lm, Decoder(block_size=4)))
        ids = torch.where(batch.is_canvas, lm.mask_id, batch.ids)
        at = torch.tensor([[0, len(prompt) + offset] for offset in range(4)])
        with torch.inference_mode():
            lm.logits(batch.query(ids, lm.rule), at)
            best = int(head.read(at).argmax())
        assert alone.steps[0].at.tolist() == [[0, best]]


def test_a_model_without_the_head_is_refused():
    with pytest.raises(UserError, match=r"the revision 'remedi' needs a model with the head 'confidence'.*or use the"):
        trace(revision="remedi", heads=False)


def test_caches_that_do_not_read_whole_rows_are_refused():
    with pytest.raises(UserError, match="cache 'dual' beside the revision 'remedi'"):
        Decoder(revision="remedi", cache="dual").resolve()
    assert Decoder(revision="remedi").resolve(exact_cache="block").cache.name == "none"
    assert Decoder(revision="remedi", cache="none").resolve(exact_cache="block").cache.name == "none"
    assert Decoder().resolve(exact_cache="block").cache.name == "block"
