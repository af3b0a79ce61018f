"""Tables of models whose answers are known."""

import math

import pytest
import torch
from subjects import Copies, Knows, LoadedToy, LoadedUniform, collator, examples, many

from toys import Hash
from unmask.analyze import RATIOS, Study, learnability
from unmask.core.random import Draws, RecordedDraws
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import Vanilla

V = 11


class LoadedHash(LoadedToy, Hash):
    pass


def test_uniform_model():
    lm = LoadedUniform()
    data = many(12)
    found = learnability(lm, data, collator(), Study(bins=3, batch_size=5), name="toy")
    rows = found.rows()
    assert [(row["bin"], row["ratio"]) for row in rows] == [(b, t) for b in (1, 2, 3) for t in RATIOS]
    for row in rows:
        if not row["count"]:
            continue
        assert row["gold"] == pytest.approx(1 / V)
        assert row["top"] == pytest.approx(1 / V)
        assert row["nll"] == pytest.approx(math.log(V))
        assert row["learnability"] == pytest.approx(27 / 4 * (1 / V) * (10 / V) ** 2)
        assert row["information"] == pytest.approx(0.0)
        assert row["gold_error"] == pytest.approx(0.0)
    assert sum(row["count"] for row in rows) == sum(lm.queried)
    assert sum(row["count"] for row in rows if row["ratio"] == 1) == sum(len(e.answer) for e in data)
    assert found.study.rows(12) == 12 * (4 * 6 + 1)


def test_at_full_noise_every_token_of_a_bin_is_counted_once():
    found = learnability(LoadedUniform(), many(9), collator(), Study(bins=4, ratios=(0.5, 1.0), passes=3))
    counted = [row["count"] for row in found.rows() if row["ratio"] == 1]
    assert counted == [row["occurrences"] for row in found.frequency.rows()]


@pytest.mark.parametrize("t", [1 / 16, 0.7])
def test_each_pass_masks_every_token_with_chance_t(t):
    passes, data = 40, many(20)
    found = learnability(LoadedUniform(), data, collator(), Study(bins=1, ratios=(t,), passes=passes))
    draws = sum(len(e.answer) for e in data) * passes
    assert found.rows()[0]["count"] == pytest.approx(draws * t, abs=4 * math.sqrt(draws * t * (1 - t)))


@pytest.mark.parametrize("size", [1, 3, 50])
def test_batch_size_changes_nothing(size):
    study = {"bins": 3, "ratios": (0.25, 0.7, 1.0), "passes": 3}
    tables = [learnability(LoadedHash(), many(10), collator(), Study(**study, batch_size=batch)) for batch in (4, size)]
    assert torch.equal(tables[0].by_bin.values, tables[1].by_bin.values)
    assert torch.equal(tables[0].by_token.values, tables[1].by_token.values)
    assert float(tables[0].by_bin.values[..., 1].sum()) > 0


def test_the_seed_and_the_pass_change_the_masks():
    def counts(**changes):
        study = {"bins": 3, "ratios": (0.3,), "passes": 1} | changes
        return learnability(LoadedUniform(), many(10), collator(), Study(**study)).by_bin.counts

    assert torch.equal(counts(), counts())
    assert not torch.equal(counts(), counts(seed=1))
    assert not torch.equal(2 * counts(), counts(passes=2))


def test_what_is_hidden_at_one_level_is_hidden_at_all_higher_ones():
    found = learnability(LoadedUniform(), many(10), collator(), Study(bins=3, passes=1))
    assert bool((found.by_bin.counts.diff(dim=0) >= 0).all())


def test_a_model_that_knows_frequent_tokens_only():
    data = examples([1, 1, 1, 1, 2], [1, 1, 2, 2, 3], [1, 1, 4, 5, 6])
    found = learnability(Knows(known=(1, 2)), data, collator(), Study(bins=2, ratios=(0.5, 1.0), passes=6))
    frequent, rare = ([row for row in found.rows() if row["bin"] == number] for number in (1, 2))
    assert found.frequency.ids[found.frequency.bins == 0].tolist() == [1]
    assert [(row["gold"], row["nll"], row["accuracy"], row["learnability"]) for row in frequent] == [(1, 0, 1, 0)] * 2
    full = rare[1]
    twos, others = 3, 7  # of the rare bin, at t = 1
    assert full["count"] == twos + others
    assert full["gold"] == pytest.approx((twos + others / V) / (twos + others))
    assert full["accuracy"] == pytest.approx(twos / (twos + others))
    assert full["nll"] == pytest.approx(others / (twos + others) * math.log(V))
    tokens = found.tokens(str, 3)
    assert [(row["token"], row["bin"], row["occurrences"]) for row in tokens[::2]] == [
        ("1", 1, 8), ("2", 2, 3), ("9", 2, 3),
    ]  # fmt: skip
    assert [row["gold"] for row in tokens[1::2]] == pytest.approx([1, 1, 1 / V])


def test_confidence_and_information_follow_the_visible_context():
    """A token is known where the column before it is visible: always behind the prompt, else with chance 1 - t."""
    length, data = 40, examples(*[[1 + (i + j) % 3 for j in range(39)] for i in range(8)])
    found = learnability(Copies(), data, collator(), Study(bins=1, ratios=(0.25, 0.75, 1.0), passes=60))
    for row in found.rows():
        seen = (1 + (length - 1) * (1 - row["ratio"])) / length
        assert row["gold"] == pytest.approx(seen + (1 - seen) / V, abs=0.02)
        lost = (length - 1) / length * math.log(V)
        assert row["nll"] == pytest.approx((1 - seen) * math.log(V), abs=0.05)
        assert row["information"] == pytest.approx(lost - (1 - seen) * math.log(V), abs=0.05)
        assert row["gold_error"] < 0.02
    assert found.rows()[2]["information"] == 0


def test_information_needs_the_level_at_which_all_is_hidden():
    found = learnability(LoadedUniform(), many(4), collator(), Study(bins=1, ratios=(0.25, 0.75)))
    assert [row["information"] for row in found.rows()] == [None, None]


def test_the_error_is_taken_over_examples():
    """Example 1 is known, example 2 is not: mean 1/2 (1 + 1/V), and the error of two examples that differ so."""
    data = examples([1] * 5, [2] * 5)
    found = learnability(Knows(known=(1, 9)), data, collator(), Study(bins=1, ratios=(1.0,)))
    (row,) = found.rows()
    golds = [6 / 6, (5 / V + 1) / 6]
    assert row["gold"] == pytest.approx(sum(golds) / 2)
    spread = math.sqrt(sum((gold - row["gold"]) ** 2 for gold in golds) / (2 - 1))
    assert row["gold_error"] == pytest.approx(spread / math.sqrt(2))


def test_a_model_compared_with_itself_has_not_changed():
    study = Study(bins=3, passes=2)
    before, after = (learnability(LoadedHash(), many(10), collator(), study, name=n) for n in ("a", "b"))
    for row in before.compare(after):
        assert (row["before"], row["after"]) == ("a", "b")
        if row["count"]:
            assert [row[kind] for kind in ("gold", "top", "nll", "accuracy", "learnability")] == [0.0] * 5
            assert row["gold_error"] in (0.0, None)


def test_a_comparison_is_the_difference_of_the_tables():
    study = Study(bins=2, ratios=(0.5, 1.0))
    before, after = (learnability(lm, many(10), collator(), study) for lm in (LoadedUniform(), Knows(known=(1, 2, 9))))
    for old, new, change in zip(before.rows(), after.rows(), before.compare(after), strict=True):
        assert change["count"] == old["count"] == new["count"]
        assert change["gold"] == pytest.approx(new["gold"] - old["gold"])
        assert change["nll"] == pytest.approx(new["nll"] - old["nll"])
    assert before.compare(after)[0]["gold"] > 0.5
    other = learnability(LoadedUniform(), many(10), collator(), Study(bins=2, ratios=(0.25, 1.0)))
    with pytest.raises(UserError, match="two measurements of one study"):
        before.compare(other)


def test_it_reads_what_vanilla_training_with_a_hidden_tail_reads():
    """The same numbers for the masks: the same rows, token for token; the filler is hidden but not asked."""
    seen = []

    class Spy(LoadedUniform):
        def predict(self, query, query_positions):
            seen.append((query.ids, query_positions))
            return super().predict(query, query_positions)

    data, t = examples([1, 2, 3, 4, 5, 6]), 0.6
    collate = collator(canvas=16)
    learnability(Spy(), data, collate, Study(bins=1, ratios=(t,), passes=1))
    batch = collate([{**vars(data[0]), "order": 0}])
    draw = Draws(seed=0).uniform("learnability", batch.spread(batch.order), batch.offset, torch.tensor(0))
    recorded = RecordedDraws(seed=0, values={"t": torch.tensor([t]), "mask": draw})
    noised = Vanilla(tail="hidden", eps=1e-12).noise(batch, model=Spy(), draws=recorded, progress=0.0)
    ((ids, at),) = seen
    assert torch.equal(ids, noised.query.ids)
    assert at.tolist() == [place for place in noised.query_positions.tolist() if place[1] < 2 + 7]
    assert bool((ids[0, 2 + 8 :] == Spy.mask_id).all())


def test_a_real_model_is_left_as_it_was():
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1))
    lm.model.train()
    rows = learnability(lm, many(4), collator(), Study(bins=2, ratios=(0.5, 1.0), passes=1)).rows()
    assert lm.model.training
    assert all(0 < row["gold"] <= row["top"] < 1 for row in rows)
    assert all(weight.grad is None for weight in lm.model.parameters())


def test_progress_counts_rows():
    done = []
    study = Study(bins=1, ratios=(0.5, 1.0), passes=3, batch_size=3)
    learnability(LoadedUniform(), many(7), collator(), study, on_rows=done.append)
    assert done == [3, 3, 1] * 4
    assert sum(done) == study.rows(7)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ratios": (0.0, 1.0)}, "ratios: expected numbers above 0 and up to 1, found 0; write for example 1/4,1/2,1"),
        ({"ratios": (1.5,)}, "ratios: expected numbers above 0 and up to 1, found 1.5"),
        ({"ratios": ()}, "ratios: expected numbers above 0 and up to 1, found none"),
        ({"bins": 0}, "bins: expected at least 1, found 0; the default is 5"),
        ({"passes": 0}, "passes: expected at least 1, found 0"),
    ],
)
def test_settings_are_checked(settings, says):
    with pytest.raises(UserError) as error:
        Study(**settings)
    assert str(error.value).startswith(says)


def test_ratios_rise_and_are_named_once():
    assert Study(ratios=(1, 0.25, 0.5, 0.25)).ratios == (0.25, 0.5, 1.0)


def test_no_example():
    with pytest.raises(UserError, match="expected at least one example"):
        learnability(LoadedUniform(), [], collator())
