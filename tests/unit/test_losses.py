"""Every normaliser against a number worked out by hand."""

import pytest
import torch

from unmask.core.reduction import divides_by_t, normalise

# Two examples: responses of 4 and 2 tokens, t = 0.5 and 0.25; masked tokens with CE 1, 2 and 3.
EXAMPLE = torch.tensor([0, 0, 1])
WEIGHT = torch.tensor([2.0, 2.0, 4.0])
NLL = torch.tensor([1.0, 2.0, 3.0])


def divided(name, weight, example, *, response_length, columns, share=None):
    """Each example is a group; weights carry 1/t only where the normaliser wants it."""
    weight = weight if divides_by_t(name) else torch.ones_like(weight)
    share = torch.ones(len(response_length)) if share is None else share
    return normalise(name, weight, example, response_length=response_length, share=share, columns=columns)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("per_sequence", ((1 + 2) * 2 / 4 + 3 * 4 / 2) / 2),
        ("per_token", ((1 + 2) * 2 + 3 * 4) / 6),
        ("per_row", ((1 + 2) * 2 + 3 * 4) / 2),
        ("fixed_length", ((1 + 2) * 2 + 3 * 4) / 20),
        ("per_masked_row", ((1 + 2) / 2 + 3 / 1) / 2),
        ("per_masked", (1 + 2 + 3) / 3),
    ],
)
def test_closed_forms(name, expected):
    weight, count = divided(name, WEIGHT, EXAMPLE, response_length=torch.tensor([4, 2]), columns=20)
    assert float((weight * NLL).sum() / count) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "name", ["per_sequence", "per_token", "per_row", "fixed_length", "per_masked_row", "per_masked"]
)
def test_nothing_masked_is_zero(name):
    none = torch.zeros(0)
    weight, count = divided(name, none, none.long(), response_length=torch.tensor([4, 2]), columns=20)
    assert weight.shape == (0,)
    assert torch.isfinite(count)


def test_a_duplicated_row_leaves_per_sequence_alone():
    once = divided("per_sequence", WEIGHT[:2], EXAMPLE[:2], response_length=torch.tensor([4]), columns=8)
    twice = divided(
        "per_sequence",
        WEIGHT[[0, 1, 0, 1]],
        torch.tensor([0, 0, 1, 1]),
        response_length=torch.tensor([4, 4]),
        columns=16,
    )
    value = (once[0] * NLL[:2]).sum() / once[1]
    assert float(value) == pytest.approx(float((twice[0] * NLL[[0, 1, 0, 1]]).sum() / twice[1]))


def test_groups_that_share_an_example_are_its_parts():
    """Two halves of one example, each with its own t: a sum under ELBO weights, a mean under per-masked ones."""
    half = torch.tensor([0.5, 0.5])
    length = torch.tensor([4, 4])
    elbo = normalise("per_sequence", 2 * WEIGHT, EXAMPLE, response_length=length, share=half, columns=8)
    assert float((elbo[0] * NLL).sum() / elbo[1]) == pytest.approx(((1 + 2) * 2 + 3 * 4) / 4)
    mean = normalise("per_masked_row", torch.ones(3), EXAMPLE, response_length=length, share=half, columns=8)
    assert float((mean[0] * NLL).sum() / mean[1]) == pytest.approx(((1 + 2) / 2 + 3) / 2)
