"""Bins partition the ids, the most frequent first, in pieces of about equal mass."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unmask.analyze import bin_tokens
from unmask.errors import UserError


def test_by_hand():
    """20 occurrences in 3 bins: 6 2/3 would fit; then half of the remaining 12; then the rest."""
    answers = [[7] * 8, [3] * 5, [5] * 4, [1, 2, 4]]
    found = bin_tokens(answers, 3)
    assert found.ids.tolist() == [7, 3, 5, 1, 2, 4]
    assert found.counts.tolist() == [8, 5, 4, 1, 1, 1]
    assert found.bins.tolist() == [0, 1, 2, 2, 2, 2]
    assert found.rows()[0] == {"bin": 1, "ids": 1, "occurrences": 8, "most": 8, "least": 8}
    assert found.rows()[2] == {"bin": 3, "ids": 4, "occurrences": 7, "most": 4, "least": 1}
    assert found.rank(torch.tensor([4, 7, 3])).tolist() == [5, 0, 1]


def test_an_id_joins_while_half_of_it_fits():
    """Shares of 6: 4 + 4/2 fits exactly, 4 + 5/2 does not."""
    assert bin_tokens([[1] * 4, [2] * 4, [3] * 4], 2).bins.tolist() == [0, 0, 1]
    assert bin_tokens([[1] * 5, [2] * 4, [3] * 3], 2).bins.tolist() == [0, 1, 1]


def test_one_token_that_is_nearly_all_leaves_the_other_bins_filled():
    found = bin_tokens([[1] * 1000, [2, 3, 4]], 4)
    assert found.bins.tolist() == [0, 1, 2, 3]


@given(st.lists(st.lists(st.integers(0, 30), max_size=20), min_size=1, max_size=8), st.integers(1, 8))
def test_every_id_is_in_one_bin_and_no_bin_is_empty(answers, bins):
    tokens = [token for answer in answers for token in answer]
    if len(set(tokens)) < bins:
        with pytest.raises(UserError):
            bin_tokens(answers, bins)
        return
    found = bin_tokens(answers, bins)
    assert sorted(found.ids.tolist()) == sorted(set(tokens))
    assert int(found.counts.sum()) == len(tokens)
    assert sorted(set(found.bins.tolist())) == list(range(bins))
    assert found.bins.tolist() == sorted(found.bins.tolist())
    assert found.counts.tolist() == sorted(found.counts.tolist(), reverse=True)


@pytest.mark.parametrize(
    ("answers", "bins", "says"),
    [
        ([[1, 2]], 3, "bins: expected from 1 to 2, the different tokens of the answers, found 3; write 2"),
        ([[1, 2]], 0, "bins: expected from 1 to 2, the different tokens of the answers, found 0; write 1"),
        ([[]], 1, "expected answers with at least one token, found none; check the data"),
    ],
)
def test_refused(answers, bins, says):
    with pytest.raises(UserError) as error:
        bin_tokens(answers, bins)
    assert str(error.value) == says
