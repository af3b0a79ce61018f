"""Laws by hand, buckets by hand, and a sampler that is a pure function of the position."""

import copy
import csv
import json
import math
import pickle
import re

import pytest
import torch
from torch.utils.data import DataLoader

from unmask.config.components import InvalidConfigError, choose
from unmask.data import (
    CURRICULA,
    Curriculum,
    CurriculumSampler,
    Encoded,
    OrderedExamples,
    Record,
    Shuffled,
    encode,
    into_buckets,
    read,
)
from unmask.data.curriculum import Balanced, Classic, Cosine, Gaussian
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch

TOKENIZER = from_scratch(ScratchSpec(hidden_size=8, layers=1, heads=1)).tokenizer
BUCKETS = [[0, 3, 6, 9, 12], [1, 4, 7], [2, 5, 8, 11]]  # 10 is in none: it is not trained on
THREE = [0.0, 0.5, 1.0]


def at(*progress):
    return torch.tensor(progress, dtype=torch.float64)


def of_lengths(*lengths):
    return [Encoded(prompt=[1], answer=[2] * n, source=f"x:{i}") for i, n in enumerate(lengths, 1)]


def stated(*values):
    return [Encoded(prompt=[1], answer=[2, 3], source=f"x:{i}", difficulty=v) for i, v in enumerate(values, 1)]


def sampler(law, buckets=BUCKETS, length=400, seed=0):
    return CurriculumSampler(law, buckets, length=length, seed=seed)


# Centre of the bell at half time: sqrt(1/2) * 2 = sqrt 2 with the default exponent. sigma = 1/2: exp(-2 d^2).
BELL = {p: [math.exp(-2 * (i - c) ** 2) for i in range(3)] for p, c in zip(THREE, (0, math.sqrt(2), 2), strict=True)}


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        (Balanced(), [[1 / 3, 1 / 3, 1 / 3]] * 3),
        (Classic(), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (Cosine(), [[3 / 6, 2 / 6, 1 / 6], [1 / 3, 1 / 3, 1 / 3], [1 / 6, 2 / 6, 3 / 6]]),
        (Gaussian(min_prob=False), [[b / sum(BELL[p]) for b in BELL[p]] for p in THREE]),
        (Gaussian(), [[1 / 6 + (1 - 3 / 6) * b / sum(BELL[p]) for b in BELL[p]] for p in THREE]),
    ],
    ids=["balanced", "classic", "cosine", "gaussian-bare", "gaussian"],
)
def test_three_buckets_by_hand(law, expected):
    torch.testing.assert_close(law.weights(at(*THREE), 3), at(*sum(expected, [])).view(3, 3), rtol=0, atol=1e-15)


def test_the_centre_of_the_bell_follows_its_exponent():
    """p = 1/4, N = 3: mu = (1/4)^2 * 2 = 1/8; sigma = 1: neighbours differ by exp((2 i - 2 mu - 1) / 2)."""
    one, two, three = Gaussian(mu_exp=2, sigma=1, min_prob=False).weights(at(0.25), 3)[0].tolist()
    assert math.log(one / two) == pytest.approx((1 - 2 / 8) / 2)
    assert math.log(two / three) == pytest.approx((3 - 2 / 8) / 2)


@pytest.mark.parametrize("name", CURRICULA)
@pytest.mark.parametrize("buckets", [1, 2, 5, 40])
def test_weights_are_probabilities(name, buckets):
    weights = CURRICULA[name]().weights(torch.linspace(0, 1, 101, dtype=torch.float64), buckets)
    assert weights.shape == (101, buckets)
    assert weights.dtype == torch.float64
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(101, dtype=torch.float64))


@pytest.mark.parametrize("buckets", [1, 2, 3, 10, 100])
def test_the_released_floor_of_cosine_never_binds(buckets):
    floor = 2 / (buckets * (buckets + 1))
    weights = Cosine().weights(torch.linspace(0, 1, 1001, dtype=torch.float64), buckets)
    assert float(weights.min()) == pytest.approx(floor)
    floored = weights.clamp(min=floor)
    torch.testing.assert_close(floored / floored.sum(1, keepdim=True), weights, rtol=0, atol=1e-15)


def test_the_least_probability_of_gaussian():
    assert float(Gaussian(sigma=0.1).weights(at(0.0), 4)[0, -1]) == pytest.approx(2 / (4 * 5))
    assert float(Gaussian(sigma=0.1, min_prob=False).weights(at(0.0), 4)[0, -1]) < 1e-100


def test_a_narrow_bell_between_two_buckets_is_no_nan():
    weights = Gaussian(sigma=0.01, min_prob=False, mu_exp=1).weights(at(0.25, 0.3), 3)
    torch.testing.assert_close(weights, at(0.5, 0.5, 0, 0, 1, 0).view(2, 3))


@pytest.mark.parametrize("length", [3, 49, 98, 100, 1000])
def test_stages_of_classic_start_on_time(length):
    """In whole numbers: floor(order * N / length)."""
    for buckets in (2, 3, 7, 49):
        weights = Classic().weights(torch.arange(length, dtype=torch.float64) / length, buckets)
        assert weights.argmax(1).tolist() == [order * buckets // length for order in range(length)]


@pytest.mark.parametrize("name", CURRICULA)
def test_every_curriculum_says_where_it_comes_from(name):
    assert re.search(r"arXiv \d{4}\.\d{5}", CURRICULA[name].__doc__)
    assert "Differs from the paper:" in CURRICULA[name].__doc__


@pytest.mark.parametrize("law", [Balanced(), Cosine(), Gaussian(), Gaussian(sigma=2, min_prob=False)], ids=repr)
def test_buckets_come_as_often_as_the_law_says(law):
    """Each half of the run on its own; four standard deviations of independent draws."""
    length = 8_000
    bucket_of = {index: b for b, members in enumerate(BUCKETS) for index in members}
    drawn = sampler(law, length=length)
    for half in (range(length // 2), range(length // 2, length)):
        weights = law.weights(at(*half) / length, 3)
        seen = [bucket_of[drawn(order)] for order in half]
        for bucket in range(3):
            p = weights[:, bucket]
            off = abs(seen.count(bucket) - float(p.sum()))
            assert off < 4 * float((p * (1 - p)).sum().sqrt()), bucket


@pytest.mark.parametrize("name", CURRICULA)
def test_each_pass_over_a_bucket_shows_each_example_once_in_an_order_of_its_own(name):
    drawn = sampler(CURRICULA[name]())
    shown = [drawn(order) for order in range(400)]
    for members in BUCKETS:
        mine = [index for index in shown if index in members]
        passes = [tuple(mine[i : i + len(members)]) for i in range(0, len(mine), len(members))]
        whole = [turn for turn in passes if len(turn) == len(members)]
        assert all(sorted(turn) == members for turn in whole)
        assert len(passes[-1]) == len(set(passes[-1]))
        assert len(set(whole)) > 3
    assert set(shown) == {index for members in BUCKETS for index in members}


def test_classic_stays_in_its_stage():
    drawn = sampler(Classic(), length=30)
    assert [sorted({drawn(n) for n in range(s, s + 10)}) for s in (0, 10, 20)] == BUCKETS


def test_one_bucket_is_a_plain_shuffle():
    for name in CURRICULA:
        drawn, plain = sampler(CURRICULA[name](), [range(7)], length=30, seed=5), Shuffled(size=7, seed=5)
        assert [drawn(n) for n in range(30)] == [plain(n) for n in range(30)]


def test_the_order_is_fixed():
    """Runs must resume under later versions: this order may never change."""
    expected = [3, 9, 8, 12, 5, 0, 4, 1, 11, 2, 8, 6]
    assert [sampler(Gaussian(), length=12)(n) for n in range(12)] == expected


def test_a_restart_in_the_middle_changes_nothing():
    before = torch.get_rng_state()
    first, other = sampler(Gaussian()), sampler(Gaussian(), seed=1)
    whole = [first(order) for order in range(400)]
    again = sampler(Gaussian())  # as after a kill: the first position that is asked for is not the first
    assert [again(order) for order in range(237, 400)] == whole[237:]
    assert [again(order) for order in reversed(range(400))] == whole[::-1]
    with pytest.raises(IndexError):
        first(400)
    assert whole != [other(order) for order in range(400)]
    assert torch.equal(torch.get_rng_state(), before)


def test_long_runs_are_drawn_in_pieces(monkeypatch):
    whole = sampler(Cosine())
    monkeypatch.setattr("unmask.data.curriculum.sampler.CHUNK", 7)
    trained_turns = sampler(Cosine())
    assert [trained_turns(order) for order in range(400)] == [whole(order) for order in range(400)]


def test_copies_and_workers_see_the_same():
    examples = [Encoded(prompt=[n], answer=[n, 1], source=str(n)) for n in range(13)]
    stream = OrderedExamples(examples, seed=0, length=24, sampler=sampler(Cosine(), length=24))
    expected = [stream[n]["source"] for n in range(24)]
    for other in (pickle.loads(pickle.dumps(stream)), copy.copy(stream), copy.deepcopy(stream)):
        assert [other[n]["source"] for n in range(24)] == expected
    assert [stream[n]["source"] for n in range(24)] == expected
    for size, workers in ((5, 0), (4, 2)):
        loader = DataLoader(stream, batch_size=size, num_workers=workers, collate_fn=list)
        assert [item["source"] for batch in loader for item in batch] == expected


@pytest.mark.parametrize("buckets", [[], [[0], []]])
def test_empty_buckets_are_refused(buckets):
    with pytest.raises(UserError, match=r"expected examples in every bucket, found buckets of \["):
        sampler(Balanced(), buckets)


# Difficulty


def test_lengths_are_cut_into_equal_parts_and_ties_stay_in_order():
    """Ranked 0 4 7 | 1 2 | 3 5 6: the cuts are at 8/3 = 2 and 16/3 = 5."""
    examples = of_lengths(2, 5, 5, 7, 3, 8, 9, 5)
    assert into_buckets(examples, Balanced(buckets=3)) == [[0, 4], [1, 2, 7], [3, 5, 6]]
    assert into_buckets(examples, Balanced(buckets=1)) == [list(range(8))]
    assert [len(bucket) for bucket in into_buckets(of_lengths(*range(2, 13)), Balanced())] == [2, 3, 3, 3]


def test_few_different_numbers_are_a_bucket_each():
    assert into_buckets(of_lengths(9, 4, 9, 9, 9), Balanced()) == [[1], [0, 2, 3, 4]]
    assert into_buckets(of_lengths(9, 4, 5), Balanced(buckets=100)) == [[1], [2], [0]]  # fewer examples than buckets
    assert into_buckets(stated(0.5, -1, 2, 0.5), Balanced(by="level")) == [[1], [0, 3], [2]]
    assert into_buckets(stated(1, 1, 1, 2), Balanced(by="level", buckets=2)) == [[0, 1, 2], [3]]
    assert into_buckets(of_lengths(4, 4), Balanced(buckets=1)) == [[0, 1]]


def test_numbers_of_a_column_are_cut_like_lengths():
    assert into_buckets(stated(30, 10.5, 20, 1e9), Balanced(by="level", buckets=2)) == [[1, 2], [0, 3]]
    assert into_buckets(stated("10", "9", "100"), Balanced(by="level")) == [[1], [0], [2]]  # as CSV has them


def test_labels_by_their_order():
    examples = stated("hard", "easy", "hard", "middling")
    assert into_buckets(examples, Balanced(by="level", order=("easy", "middling", "hard"))) == [[1], [3], [0, 2]]
    assert into_buckets(stated(3, 1.0, "2"), Balanced(by="level", order=(3, 2, 1))) == [[0], [2], [1]]


@pytest.mark.parametrize(
    ("examples", "options", "message"),
    [
        (of_lengths(4, 4), {}, "different difficulty, found that length is 4 for all 2; name a column"),
        (stated("easy", "2"), {}, "expected numbers under 'level', found easy; if these are labels, write"),
        (stated("1", "nan"), {}, "expected numbers under 'level', found nan;"),
        (stated(*"jihgfedcba"), {}, r"found a, b, c, d, e, f, g, h, …;"),
        (stated("easy", "hrad"), {"order": ("easy", "hard")}, r"expected one of easy, hard under 'level', found 'hrad' "
                                                              r"\(x:2\); mend it, or add it"),
        (stated("easy", "easy"), {"order": ("easy", "hard")}, "examples of every label, found none of hard; leave out"),
        (of_lengths(4, 5), {"by": "level"}, "with a difficulty from 'level', found none with x:1; give each Encoded"),
    ],
)  # fmt: skip
def test_what_cannot_be_ranked_is_one_line(examples, options, message):
    by = {} if examples[0].difficulty is None else {"by": "level"}
    with pytest.raises(UserError, match=message):
        into_buckets(examples, Gaussian(**{**by, **options}))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gausian", "unknown curriculum 'gausian'; did you mean 'gaussian'?"),
        ({"name": "gaussian", "sigma": 0}, "sigma: expected at least 0.01, found 0; the default is 0.5"),
        ({"name": "gaussian", "mu_exp": 0}, "mu_exp: expected more than 0, found 0; the default is 0.5"),
        ({"name": "cosine", "sigma": 1}, "sigma: unknown key"),
        ({"name": "cosine", "buckets": 0}, "buckets: expected at least 1, found 0"),
        ({"name": "cosine", "order": ["easy", "hard"]}, "order is for the labels of a column, found by: length"),
        ({"name": "cosine", "by": "level", "order": ["a", "a"]}, "order: expected different labels from easy to hard"),
        ({"name": "cosine", "by": "level", "order": [1, 1.0]}, "order: expected different labels from easy to hard"),
        ({"name": "cosine", "by": "level", "order": []}, "order: expected different labels from easy to hard"),
        ({"name": "cosine", "by": "level", "order": "easy"}, "order: expected a list, found 'easy'"),
        ({"name": "cosine", "by": "level", "order": ["a", "b"], "buckets": 2}, "expected either buckets (of numbers)"),
    ],
)
def test_a_wrong_curriculum_is_one_line(spec, message):
    with pytest.raises(InvalidConfigError, match=re.escape(message)):
        choose(CURRICULA, spec, "data.curriculum")


def test_the_defaults_of_the_paper():
    assert choose(CURRICULA, "gaussian") == Gaussian(mu_exp=0.5, sigma=0.5, min_prob=True, by="length")
    with pytest.raises(TypeError, match="Curriculum brings no weights"):
        Curriculum().weights(at(0.0), 2)


# From the rows


ROWS = [{"prompt": "1", "completion": "2", "level": v} for v in ("hard", 3, 2.5, None, " ", [1])]


def test_a_column_travels_to_the_examples(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, {"prompt": "1", "completion": "2"}]))
    records = read(path, difficulty="level")
    data = encode(records, TOKENIZER, max_length=None, on_bad="skip")
    assert [example.difficulty for example in data] == ["hard", 3, 2.5]
    assert [example.difficulty for example in data[1:]] == [3, 2.5]
    faults = [record.fault.detail for record in records if record.fault]
    assert [fault.partition("found ")[2] for fault in faults] == [
        "null", "text (' ')", "a list of 1", "only prompt, completion",
    ]  # fmt: skip
    with pytest.raises(UserError, match="expected a number or a label under 'level', found null"):
        encode(records, TOKENIZER, max_length=None)
    assert all(record.difficulty is None for record in read(path))


def test_the_column_goes_by_the_name_that_the_file_has(tmp_path):
    path = tmp_path / "x.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["q", "a", "steps"], ["1", "2", "7"], ["1", "2", "nan"]])
    columns = {"prompt": "q", "completion": "a"}
    assert [r.difficulty for r in read(path, columns=columns, difficulty="steps")] == ["7", "nan"]
    with pytest.raises(UserError, match=r"data.curriculum.by: .*x.csv has no column 'step'; did you mean 'steps'\?"):
        read(path, columns=columns, difficulty="step")


def test_every_answer_of_a_conversation_is_as_difficult_as_its_row():
    from chat_templates import tokenizer_for

    turns = [{"role": role, "content": "two"} for role in ("user", "assistant") * 2]
    data = encode([Record(messages=tuple(turns), difficulty="hard")], tokenizer_for("chatml"), max_length=None)
    assert [example.difficulty for example in data] == ["hard", "hard"]
