"""How far a mask embedding gives way, in closed form."""

import math

import pytest
import torch

from unmask.heads import HEADS, SoftMask

MASK = 4


def head(scale=None, *, grad=False, **options):
    made = SoftMask(torch.nn.Identity(), **options)
    made.requires_grad_(grad)
    if scale is not None:
        made.raw_scale.data = torch.tensor(math.log(scale / (1 - scale)))
    return made


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("entropy", [0.0, 0.75, 2.0])
@pytest.mark.parametrize("scale", [0.1, 0.5, 0.9])
def test_share_by_hand(entropy, scale):
    """lambda = scale * sigmoid(steepness (-H - centre)) with centre -0.75 and steepness 10/1.5."""
    expected = scale * sigmoid(10 / 1.5 * (0.75 - entropy))
    assert float(head(scale).share(torch.tensor(entropy))) == pytest.approx(expected, rel=1e-5)


def test_half_of_the_scale_at_the_centre():
    assert float(head(0.6).share(torch.tensor(0.75))) == pytest.approx(0.3, rel=1e-5)


def test_it_starts_at_nothing():
    made = head()
    assert float(made.scale) == pytest.approx(1e-6, rel=1e-3)
    assert 0 < float(made.share(torch.tensor(0.0))) < 1e-6


def test_shares_lie_between_nothing_and_the_scale_and_fall_with_entropy():
    entropy = torch.linspace(0, 6, 200)
    share = head(0.7).share(entropy)
    assert float(share.min()) >= 0
    assert float(share.max()) <= 0.7
    assert (share[1:] < share[:-1]).all()


def test_blend_by_hand():
    """Probabilities 1/2, 1/4, 1/8, 1/16 and 1/16 for the mask: H = 15/8 ln 2; the best three share by 4 : 2 : 1."""
    p = torch.tensor([[0.25, 0.5, 0.125, 0.0625, 0.0625]])
    ids, weights = head(0.5).blend(p.log(), MASK)
    share = 0.5 * sigmoid(10 / 1.5 * (0.75 - 15 / 8 * math.log(2)))
    assert ids.tolist() == [[MASK, 1, 0, 2]]
    assert weights[0].tolist() == pytest.approx([1 - share, share * 4 / 7, share * 2 / 7, share / 7], rel=1e-4)


def test_one_prediction_is_the_likeliest_with_all_of_the_share():
    ids, weights = head(0.5, top_k=1).blend(torch.tensor([[0.0, 1.0, 3.0, 2.0, -5.0]]), MASK)
    assert ids.tolist() == [[MASK, 2]]
    assert float(weights.sum()) == pytest.approx(1)


def test_the_mask_token_is_never_blended_as_a_prediction():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    logits[:, MASK] = 30.0
    ids, weights = head(0.5).blend(logits, MASK)
    assert (ids[:, 0] == MASK).all()
    assert (ids[:, 1:] != MASK).all()
    assert torch.isfinite(weights).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(50))


def test_gradient_reaches_the_three_scalars_and_not_the_logits():
    made = head(0.5, grad=True)
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    _, weights = made.blend(logits, MASK)
    weights[:, 0].sum().backward()
    assert logits.grad is None
    assert all(float(p.grad.abs()) > 0 for p in made.parameters())
    assert len(list(made.parameters())) == 3


def test_low_precision_logits_are_blended_in_float32():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    _, weights = head(0.5).blend(logits.bfloat16(), MASK)
    assert weights.dtype == torch.float32


def test_nothing_to_blend_still_hangs_on_the_scalars():
    """Data-parallel wrappers wait for every parameter's gradient."""
    made = head(grad=True)
    ids, weights = made.blend(torch.zeros(0, 5), MASK)
    assert ids.shape == weights.shape == (0, 4)
    weights.sum().backward()
    assert all(float(p.grad) == 0 for p in made.parameters())


def test_settings_make_it_again():
    made = head(top_k=2, lr=0.5)
    assert made.settings == {"top_k": 2, "lr": 0.5, "scale": 1e-6}
    assert HEADS["soft_mask"](torch.nn.Identity(), **made.settings).settings == made.settings
