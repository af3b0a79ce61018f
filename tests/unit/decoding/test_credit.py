import pytest
import torch
from places import MASK, trace

from toys import Hash
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Credit, Decoder, decode
from unmask.decoding.state import MemoryAccess
from unmask.errors import UserError

INF = float("inf")


def fused(credit, forwards, *, is_queried=None):
    """What comes of a row's logits at each forward."""
    memory, found = {}, []
    for logits in forwards:
        logits = torch.tensor(logits, dtype=torch.float64)
        queried = torch.ones(1, len(logits), dtype=torch.bool) if is_queried is None else is_queried[len(found)]
        one = torch.ones(1, dtype=torch.int64)
        width = one * queried.shape[1]
        book = MemoryAccess(memory, rows=torch.tensor([0]), start=0 * one, width=width, columns=queried.shape[1])
        found.append(credit.fuse(logits, memory=book, is_queried=queried, mask_id=2))
        memory = book.written(1)
    return found


def test_first_choices_gain_and_old_ones_fade():
    """gamma = 1, one place, probabilities (.6, .3, .1), then (.3, .6, .1); token 2 is the mask token."""
    first, second = torch.tensor([[0.6, 0.3, 0.1]]).double().log(), torch.tensor([[0.3, 0.6, 0.1]]).double().log()
    found = fused(Credit(alpha=2, beta=0.5, gamma=1), [first.tolist(), second.tolist()])
    assert torch.allclose(found[0] - first, 2 * torch.tensor([[1.6, 1, 1]]).double().log())
    assert torch.allclose(found[1] - second, 2 * torch.tensor([[1.3, 1.6, 1]]).double().log())


def test_the_mask_token_has_no_credit_and_logits_stay_as_they_are():
    logits = torch.tensor([[0.2, 0.1, 0.7]]).double().log()
    found = fused(Credit(gamma=0, alpha=1), [logits.tolist()])[0]
    assert torch.allclose(found - logits, torch.tensor([[2.0, 1, 1]]).double().log())
    given = logits.clone()
    fused(Credit(), [given.tolist()])
    assert torch.equal(given, logits)


def test_credits_belong_to_places():
    """Asked: both places, then the right one only."""
    both, right = torch.tensor([[True, True]]), torch.tensor([[False, True]])
    a, b = [2.0, 0.0, 0.0], [0.0, 2.0, 0.0]
    found = fused(Credit(alpha=1, beta=1, gamma=0), [[a, b], [a]], is_queried=[both, right])
    assert torch.allclose(found[1] - torch.tensor([a]).double(), torch.tensor([[2.0, 2, 1]]).double().log())


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}, {"proposal": "no_eos"}, {"blocks": "whole"}])
@pytest.mark.parametrize("threshold", [0.2, 0.4, INF])
def test_without_credit_it_is_threshold(threshold, options):
    selection = {"name": "credit", "threshold": threshold, "alpha": 0}
    assert trace(options, selection=selection) == trace(options, threshold=threshold)


def test_tokens_come_from_the_fused_logits_and_probabilities_from_the_models_own():
    weak, strong = (trace(selection={"name": "credit", "threshold": 0.3, "alpha": alpha}) for alpha in (0.0, 2.0))
    assert strong not in (weak, trace())
    assert len(strong) < len(weak)

    class Said(Hash):
        def predict(self, query, query_positions):
            logits = super().predict(query, query_positions)
            self.p = logits.softmax(-1)
            return logits

    model = Said()
    batch = lay_out([Example(prompt=(1,), answer=(), order=0, canvas=8)], block_size=4, filler_id=9)
    decoder = Decoder(block_size=4, stop="never", selection={"name": "credit", "threshold": INF, "alpha": 5.0})
    for step in decode(model, batch, decoder.resolve(), draws=Draws(seed=0)):
        assert any(torch.isclose(step.probabilities, p[step.tokens]).all() for p in model.p)
        assert (step.scores > step.probabilities).all()
        assert (step.tokens != MASK).all()


@pytest.mark.parametrize("fields", [{"alpha": -1}, {"beta": 1.5}, {"gamma": -0.1}])
def test_bad_settings_are_refused(fields):
    with pytest.raises(UserError):
        Credit(**fields)
