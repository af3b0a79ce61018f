"""What a comparison of recipes says of the general problems."""

import pytest

from unmask.study.headline import headline
from unmask.study.results import Results
from unmask.tasks import Problem


def judged(right, general):
    return {"decoders": {"blocks": {"right": right}}, "general": {"right": general}}


@pytest.mark.parametrize(
    ("general", "says"),
    [
        ([0, 0, 0, 0], "answers none of the general problems right, so they cannot show what tuning has forgotten"),
        ([1, 0, 0, 0], "On the general problems **a** has forgotten nothing that can be shown"),
    ],
)
def test_problems_that_the_base_never_solves_show_no_forgetting(general, says):
    results = Results(
        bases={"all": judged([1, 0, 1, 0], general)},
        trials=[],
        runs=[{"arm": "a", "points": [judged([1, 1, 1, 0], general)]}],
        curves=[],
        missing=0,
    )
    summary = {"comparisons": [{"budget": 1, "difference": None}], "reference": "a"}
    problems = [Problem(prompt=str(n), solution="", answer="", source=str(n)) for n in range(4)]
    sentences = headline(results, summary, problems, {})["sentences"]
    assert [says in each for each in sentences if "general problems" in each] == [True]
