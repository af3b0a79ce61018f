import json
import math
from dataclasses import replace

import pytest
from places import places, trace

from unmask.decoding import SELECTIONS, PcSampler
from unmask.errors import UserError

INF = float("inf")
COUNTS = {0: 6, 1: 3, 2: 1}  # of ten


def scores(p, token, **fields):
    seen = places(p, token=token, low_confidence=p)
    return PcSampler(**fields).refine(seen).score[0].tolist()


def test_rare_sure_tokens_near_the_left_come_first():
    """H
    from dataclasses import replace
    and-computed: exp(-i / 2) * min(-p ln f, 1), f = .6, .3, .1; token 7 is not in the corpus: f = .1."""
    found = scores([0.5, 0.5, 0.5, 0.4], [0, 1, 2, 7], frequencies=COUNTS, decay=0.5, clip=1)
    expected = [
        -0.5 * math.log(0.6),
        math.exp(-0.5) * -0.5 * math.log(0.3),
        math.exp(-1),  # .5 ln 10 is 1.15, clipped
        math.exp(-1.5) * 0.4 * math.log(10),
    ]
    assert found == pytest.approx(expected)


def test_without_a_corpus_only_probability_and_place_count():
    assert scores([0.5, 0.25], [0, 1], decay=0) == pytest.approx([0.5 * math.log(11), 0.25 * math.log(11)])
    assert scores([0.5, 0.25], [0, 1], decay=INF) == pytest.approx([0.5 * math.log(11), 0])


def test_what_the_proposal_ranks_lower_stays_lower():
    """As under ``late_eos``, which takes 16 off."""
    seen = places([0.5, 0.25 - 16], low_confidence=[0.5, 0.25], token=[0, 1])
    found = PcSampler(decay=0, frequencies=COUNTS).refine(seen).score[0].tolist()
    assert found == pytest.approx([-0.5 * math.log(0.6), -0.25 * math.log(0.3) - 16])


def test_closed_places_have_no_score_and_the_quota_is_kept():
    seen = places([0.5, 0.9, 0.4, 0.3], closed=[1], low_confidence=[0.5, 0.9, 0.4, 0.3], token=[0, 0, 2, 2], opened=4)
    part = PcSampler(frequencies=COUNTS, decay=0)
    refined = part.refine(seen)
    assert refined.score[0, 1] == -INF
    assert part.select(replace(refined, steps=2))[0].tolist() == [False, False, True, True]
    assert part.select(refined)[0].tolist() == [False, False, True, False]


@pytest.mark.parametrize("options", [{}, {"steps": 8}, {"proposal": "late_eos"}, {"temperature": 1.0}])
def test_neutral_settings_are_quota(options):
    neutral = {"name": "pc_sampler", "decay": 0, "clip": INF}
    assert trace(options, selection=neutral) == trace(options)


def test_it_differs_from_quota_and_an_endless_decay_is_left_to_right():
    assert trace(selection="pc_sampler") != trace()
    counts = {token: 4**token for token in range(10)}
    assert trace(selection={"name": "pc_sampler", "frequencies": counts}) != trace(selection="pc_sampler")
    steps = trace(selection={"name": "pc_sampler", "decay": 1000}, prompts=[(1,)])
    assert [at[0][1] for at, _, _ in steps] == list(range(16))


def test_a_file_of_counts_is_the_mapping_in_it(tmp_path):
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(COUNTS))
    assert scores([0.5, 0.25], [0, 1], frequencies=str(path)) == scores([0.5, 0.25], [0, 1], frequencies=COUNTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("[1, 2]", "found something else"),
        ("{", "found something else"),
        ('{"a": 1}', "found something else"),
        ("{}", "expected token ids from 0 on"),
        ('{"3": -1}', "expected token ids from 0 on"),
        ('{"3": 0}', "expected token ids from 0 on"),
    ],
)
def test_what_is_no_file_of_counts_is_refused_when_it_is_named(tmp_path, content, message):
    path = tmp_path / "wrong.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        SELECTIONS["pc_sampler"](frequencies=str(path))


def test_counts_of_another_vocabulary_are_refused():
    with pytest.raises(UserError, match="expected token ids below 11, .* found 11"):
        scores([0.5], [0], frequencies={11: 1})
