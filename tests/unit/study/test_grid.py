"""A study expanded: what runs, and what is refused before anything does."""

import pytest

from unmask.config.components import InvalidConfigError
from unmask.errors import UserError
from unmask.study.grid import expand, reported_runs, study_fingerprint, tuning_runs
from unmask.study.merging import merge
from unmask.study.spec import build_study


def test_cells_are_the_product_of_the_axes(values):
    values["vary"] = {
        "task": {"sorting": {}, "long lists": {"recipe": {"data": {"size": 300}}}},
        "model": {"a": {}, "b": {"base": {"path": "elsewhere"}}},
    }
    study = build_study(values)
    cells = expand(study)
    assert [cell.name for cell in cells] == ["sorting-a", "sorting-b", "long_lists-a", "long_lists-b"]
    assert cells[3].recipe["data"] == {"task": {"name": "sorting"}, "size": 300, "canvas": 28}
    assert cells[3].base == {"path": "elsewhere"}
    assert len(reported_runs(study, cells)) == 4 * 2 * 2


def test_the_first_seed_of_every_arm_runs_before_the_second_of_any(values):
    study = build_study(values)
    assert [run.path for run in reported_runs(study, expand(study))] == [
        "all/vanilla/seed-0", "all/blockwise/seed-0", "all/vanilla/seed-1", "all/blockwise/seed-1",
    ]  # fmt: skip


def test_every_arm_tries_every_rate_with_a_seed_that_is_not_reported(values):
    study = build_study(values | {"rates": [1e-3, 2e-3]})
    runs = tuning_runs(study, expand(study))
    assert {(run.arm, run.rate) for run in runs} == {(a, r) for a in ("vanilla", "blockwise") for r in (1e-3, 2e-3)}
    assert {run.seed for run in runs} == {1000}
    assert tuning_runs(build_study(values), expand(study)) == []


def test_a_run_is_the_shared_recipe_with_the_arm_laid_over_it(values):
    values["arms"]["blockwise"]["run"] = {"batch_size": 8}
    study = build_study(values)
    run = reported_runs(study, expand(study))[1]
    recipe = run.recipe("somewhere")
    assert recipe["model"] == {"path": "somewhere"}
    assert recipe["run"] == {
        "steps": 4, "batch_size": 8, "schedule": "constant", "save_every": 2, "seed": 0, "eval_every": 2,
    }  # fmt: skip
    assert recipe["objective"] == {"name": "blockwise", "block_size": 7}


def test_a_wrong_arm_is_found_before_anything_runs(values):
    values["arms"]["blockwise"]["objective"]["blok_size"] = 3
    with pytest.raises(InvalidConfigError, match=r"arms\.blockwise: objective\.blok_size: unknown key"):
        expand(build_study(values))


@pytest.mark.parametrize(("budget", "amount"), [("steps", 5), ("examples", 17)])
def test_a_budget_that_an_arm_cannot_reach_is_refused_with_its_name(values, budget, amount):
    values["equal"] = {budget: amount}
    with pytest.raises(InvalidConfigError, match=rf"equal\.{budget}: {amount} cannot be met: arm 'vanilla' ends at"):
        expand(build_study(values))


def test_axes_change_known_sections_only(values):
    values["vary"] = {"task": {"sorting": {"recepie": {}}}}
    with pytest.raises(UserError, match=r"vary\.task\.sorting\.recepie: unknown section; did you mean 'recipe'"):
        expand(build_study(values))


def test_more_seeds_rates_and_other_budgets_are_the_same_study_and_another_size_is_not(values):
    def mark(**changes):
        study = build_study(merge(values, changes))
        return study_fingerprint(study, expand(study))

    assert mark() == mark(seeds=[0, 1, 2], equal=["flops"], question="what?")
    assert mark() != mark(recipe={"run": {"steps": 6}})
    assert mark() == mark(rates=[1e-3, 2e-3])


def test_two_arms_never_share_a_folder(values):
    values["arms"] = {"lift 1:3": {}, "lift 1 3": {}}
    with pytest.raises(UserError, match="lift 1:3 and lift 1 3: expected names of different folders"):
        expand(build_study(values))
