"""Every recipe that ships parses and builds, wherever its model and its data are."""

from pathlib import Path

import pytest

from unmask.recipes.recipe import SECTIONS, build, read_recipe

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "src/unmask/assets"
STUDIES = {*(ASSETS / "studies").glob("*.yaml")}  # recipes of another kind, with tests of their own
RECIPES = sorted({*(ROOT / "recipes").rglob("*.yaml"), *ASSETS.rglob("*.yaml")} - STUDIES)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_recipe(path):
    values = read_recipe(path)
    recipe = build(values)
    assert list(values) == [section for section in SECTIONS if section in values], "sections in the usual order"
    assert path.read_text().startswith("#"), "a recipe says what it is"
    assert recipe.run.objective is not None


def test_there_are_recipes():
    assert RECIPES
