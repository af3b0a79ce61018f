"""Recipes of studies: sizes, files, and what is wrong with them."""

import pytest
import yaml

from unmask.errors import UserError
from unmask.study import built_in_studies, read_study
from unmask.study.merging import merge
from unmask.study.spec import build_study


def test_overrides_do_not_touch_what_they_are_laid_over():
    values, changes = {"a": {"b": [1]}}, {"a": {"c": {"d": None, "e": 1}}}
    merged = merge(values, changes)
    assert merged == {"a": {"b": [1], "c": {"e": 1}}}
    merged["a"]["b"].append(2)
    assert values == {"a": {"b": [1]}}


def test_sizes_and_then_assignments_are_laid_over_the_recipe(values, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values | {"sizes": {"small": {"seeds": [7], "recipe": {"run": {"steps": 2}}}}}))
    assert read_study(str(file))["recipe"]["run"]["steps"] == 4
    made = read_study(str(file), "small", ("recipe.run.steps=3",))
    assert made["seeds"] == [7]
    assert made["recipe"]["run"]["steps"] == 3
    assert "sizes" not in made
    with pytest.raises(UserError, match="has no size 'smal'; did you mean 'small'"):
        read_study(str(file), "smal")


def test_a_recipe_may_be_a_file(values, tmp_path):
    values["base"] = {"recipe": "asset:quickstart/base.yaml"}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values))
    assert read_study(str(file))["base"]["recipe"]["run"]["steps"] == 1650


def test_an_unknown_study_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'lift'"):
        read_study("lifts")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {}}, "arms: expected at least one"),
        ({"reference": "vanila"}, "reference: unknown arm 'vanila'; did you mean 'vanilla'"),
        ({"seeds": [1, 1]}, "seeds: expected different values"),
        ({"seeds": [1000]}, "tuning_seed: 1000 is one of the seeds"),
        ({"base": {}}, "base: expected either path or recipe"),
        ({"equal": ["stepps"]}, "equal.stepps: unknown budget; did you mean 'steps'"),
        ({"equal": {"steps": -1}}, "equal.steps: expected a positive number"),
        ({"rates": [0]}, "rates.0: expected more than 0"),
        ({"vary": {"task": {}}}, "vary.task: expected at least one value"),
        ({"questoin": "?"}, "questoin: unknown key; did you mean 'question'"),
    ],
)
def test_mistakes_are_told_in_one_line(values, changes, message):
    with pytest.raises(UserError) as error:
        build_study(values | changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_steps_that_do_not_fit_the_canvas_are_refused_with_the_decoders_name(values):
    from unmask.study.grid import expand

    values["evaluate"]["decoders"] = {"blocks": {"steps": 3}}
    with pytest.raises(UserError, match=r"evaluate.*decoders\.blocks: "):
        expand(build_study(values))


def test_there_are_eight_built_in_studies():
    assert built_in_studies() == [
        "block-size-consistency", "blockwise-vs-vanilla", "compose", "decoders", "lift", "prefix-suffix-ablation",
        "real-weights", "scaling",
    ]  # fmt: skip
