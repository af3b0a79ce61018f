from dataclasses import dataclass

import pytest
from places import trace

from toys import Hash, Saturated, Table
from unmask.decoding import Edit
from unmask.errors import UserError


@dataclass(kw_only=True)
class Changing(Table):
    """Proposes 1 until two tokens of the block stand there, then 2, each with a probability of almost 1."""

    then: tuple = (1, 2)

    def predict(self, query, query_positions):
        out = super().predict(query, query_positions) * 0
        written = (query.ids[:, 1:5] != self.mask_id).sum(1)[query_positions[:, 0]]
        out[written < 2, self.then[0]] = 20.0
        out[written >= 2, self.then[1]] = 20.0
        return out


def test_by_hand():
    """One block of 4, one token a step: the third forward sees two tokens and edits both while it writes a third."""
    steps = trace(model=Changing(), prompts=[(1,)], length=4, revision="edit")
    assert steps == [
        ([[0, 0]], [1], []),
        ([[0, 1]], [1], []),
        ([[0, 0], [0, 1], [0, 2]], [2, 2, 2], [[0, 0], [0, 1]]),
        ([[0, 3]], [2], []),
        ([], [], []),  # nothing to edit any more: settled
    ]


class Restless(Table):
    """Always wants another token than the one that stands there."""

    def predict(self, query, query_positions):
        out = super().predict(query, query_positions) * 0
        stands = query.ids[query_positions[:, 0], query_positions[:, 1]]
        out.scatter_(1, ((stands + 1) % 9)[:, None], 20.0)
        return out


@pytest.mark.parametrize("limit", [0, 1, 5])
def test_edits_that_never_settle_are_cut_off(limit):
    model = Restless()
    steps = trace(model=model, prompts=[(1,)], length=8, revision={"name": "edit", "max_post_steps": limit})
    assert model.forwards == len(steps) == 2 * (4 + limit)


def test_every_block_takes_at_most_its_size_and_the_limit():
    for threshold in (0.0, 0.2, 0.5):
        revision = {"name": "edit", "threshold": threshold, "max_post_steps": 3}
        assert len(trace(revision=revision, prompts=[(1,)])) <= 4 * (4 + 3)


def test_a_model_that_does_not_change_its_mind_is_not_edited():
    steps = trace(model=Table(), revision={"name": "edit", "threshold": 0})
    assert not any(back for _, _, back in steps)
    written = [step for step in steps if step[0]]
    plain = trace(model=Table())
    assert [sorted(tokens) for _, tokens, _ in written if len(tokens) == 2][:4] == [
        sorted(tokens) for _, tokens, _ in plain[:4]
    ]


@pytest.mark.parametrize("threshold", [1.0, 2.0, float("inf")])
def test_a_threshold_of_one_is_no_revision(threshold):
    revision = {"name": "edit", "threshold": threshold}
    for model in (Hash, Saturated, Restless):  # p rounds to exactly 1 in the last two
        assert trace(model=model(), revision=revision) == trace(model=model())
    assert trace(revision=revision, threshold=0.3) == trace(threshold=0.3)


def test_it_differs_from_quota():
    assert trace(revision={"name": "edit", "threshold": 0}) != trace()


def test_an_end_token_that_is_edited_away_does_not_end_the_row():
    ends = Changing(then=(9, 2))
    steps = trace(model=ends, prompts=[(1,)], length=4, revision="edit", stop="eos")
    assert [tokens for _, tokens, _ in steps] == [[9], [9], [2, 2, 2], [2], []]
    plain = trace(model=Changing(then=(9, 2)), prompts=[(1,)], length=4, stop="eos")
    assert [tokens for _, tokens, _ in plain] == [[9]]


def test_rows_wait_for_themselves_only():
    """A row that is done with its block moves on while its neighbour goes on editing."""
    alone = [trace(revision={"name": "edit", "threshold": 0.2}, prompts=[p]) for p in [(1, 2, 3)]][0]
    both = trace(revision={"name": "edit", "threshold": 0.2})
    first = [[place for place in at if place[0] == 0] for at, _, _ in both][: len(alone)]
    assert first == [at for at, _, _ in alone]


@pytest.mark.parametrize("fields", [{"threshold": -0.1}, {"threshold": float("nan")}, {"max_post_steps": -1}])
def test_bad_fields_are_refused(fields):
    with pytest.raises(UserError):
        Edit(**fields)
