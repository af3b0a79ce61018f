"""Every decoder on models that no training leaves behind, but that nothing forbids."""

import pytest
import torch
from decoders import DECODERS, PROMPTS, every, run, text

from toys import Hash


class Flat(Hash):
    """All tokens alike, everywhere: nothing but ties."""

    def predict(self, query, at):
        return torch.zeros(len(at), self.vocab_size)


class Fickle(Hash):
    """The argmax changes with the number of masks, and is the mask or an end token now and then; at float16's ends."""

    def predict(self, query, at):
        ids, _, allowed = self.text(query)
        row, column = at.unbind(1)
        masks = (allowed[row, column] & (ids == self.mask_id)[row]).sum(1)
        out = super().predict(query, at) * 1e5
        out[torch.arange(len(at)), (masks + query.columns.position[row, column]) % self.vocab_size] += 1e6
        return out.clamp(min=-65504, max=65504).half()


class Barred(Hash):
    """Two tokens are possible at a place, of which one may be the mask or an end token; the others are not."""

    def predict(self, query, at):
        out = super().predict(query, at)
        out[:, self.mask_id] = out[:, self.mask_id].clamp(max=2.9)
        best = out.topk(3).indices
        possible = torch.zeros_like(out, dtype=torch.bool).scatter(1, best, True)
        return out.masked_fill(~possible, -torch.inf)


@every
@pytest.mark.parametrize("toy", [Flat, Fickle, Barred])
def test_odd_models_are_decoded_to_the_end_and_row_by_row(name, toy):
    batch, steps = run(toy(), DECODERS[name], prompts=PROMPTS[1:], length=6, orders=[1, 2])
    for step in steps:
        assert not step.scores.isnan().any()
        assert torch.isfinite(step.state.log_prob).all()
    final = steps[-1].state
    assert torch.equal(final.ids[~batch.is_canvas], batch.ids[~batch.is_canvas])
    assert (final.ids != toy.mask_id).all()
    assert not final.is_open.any()
    alone = run(toy(), DECODERS[name], prompts=PROMPTS[1:2], length=6, orders=[1])
    assert text(*alone) == text(batch, steps)[:1]
