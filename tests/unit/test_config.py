"""Fields from YAML: numbers, names, and every mistake with its place."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BeforeValidator, Field

from unmask.config.components import InvalidConfigError, choose, component, field_names, fill, resolver
from unmask.config.registry import Registry
from unmask.config.yaml import assign, read_value, read_yaml
from unmask.errors import UserError

PARTS = Registry[Any]("pastry")


@PARTS.register("tart")
@component
class Tart:
    """A small one."""

    size: Annotated[int, Field(ge=1)] = 3
    glaze: Literal["sugar", "egg"] = "sugar"


@component
class Menu:
    price: Annotated[float, Field(gt=0)]
    pastry: Annotated[Any, BeforeValidator(resolver(PARTS))] = "tart"
    pair: tuple[float, float] = (1.0, 2.0)
    open: bool = True


WRONG = {
    "unknown": ({"prise": 3, "price": 1}, ["prise: unknown key; did you mean 'price'?"]),
    "missing": ({}, ["price: missing; write a value for it"]),
    "word": ({"price": "much"}, ["price: expected a number, found 'much'"]),
    "range": ({"price": 0}, ["price: expected more than 0, found 0"]),
    "infinite": ({"price": float("inf")}, ["price: expected a finite number, found inf"]),
    "switch": ({"price": 1, "open": "perhaps"}, ["open: expected true or false, found 'perhaps'; the default is True"]),
    "list": ({"price": 1, "pair": 3}, ["pair: expected a list, found 3; the default is [1.0, 2.0]"]),
    "element": (
        {"price": 1, "pair": [1, "b"]},
        ["pair.1: expected a number, found 'b'; the default is [1.0, 2.0]"],
    ),
    "name": ({"price": 1, "pastry": "trat"}, ["pastry: unknown pastry 'trat'; did you mean 'tart'?"]),
    "no name": ({"price": 1, "pastry": {"size": 3}}, ["pastry: expected 'name: …', found none; known: tart"]),
    "no part": ({"price": 1, "pastry": [3]}, ["pastry: expected a name, found [3]; known: tart"]),
    "inner": (
        {"price": "x", "pastry": {"name": "tart", "size": 0, "glaze": "jam"}},
        [
            "price: expected a number, found 'x'",
            "pastry.size: expected at least 1, found 0; the default is 3",
            "pastry.glaze: expected 'sugar' or 'egg', found 'jam'; the default is sugar",
        ],
    ),
}


@pytest.mark.parametrize(("values", "problems"), WRONG.values(), ids=WRONG)
def test_all_problems_at_once(values, problems):
    with pytest.raises(InvalidConfigError) as error:
        Menu(**values)
    assert error.value.problems == problems
    assert str(error.value) == "; ".join(problems)
    with pytest.raises(InvalidConfigError) as error:
        fill(Menu, values, "menu")
    assert error.value.problems == [f"menu.{problem}" for problem in problems]


def test_fields_that_are_none():
    with pytest.raises(InvalidConfigError, match=r"^menu: expected fields, found 'tart'; its fields are price, pastry"):
        fill(Menu, "tart", "menu")


def test_parts_are_named_mapped_or_made():
    assert choose(PARTS, "tart") == choose(PARTS, {"name": "tart"}) == choose(PARTS, Tart()) == Tart()
    assert Menu(price="1e-5", pastry={"name": "tart", "size": "4"}) == Menu(price=1e-5, pastry=Tart(size=4))
    assert field_names(Menu) == ["price", "pastry", "pair", "open"]
    assert field_names(Tart) == ["size", "glaze"]  # and not the name that the registry put on it


@pytest.mark.parametrize("text", ["1e-5", "1E-5", "1.0e-5", "+1e-05", "10e-6", ".1e-4", "1.e-5", "0.00001"])
def test_numbers_as_people_write_them(text):
    assert read_yaml(f"lr: {text}", "x") == {"lr": 1e-5}


def test_what_looks_like_a_number_and_is_none():
    assert read_value("[e5, 1e, 1e5x, 12:30, -, '1e5']", "x")[:3] == ["e5", "1e", "1e5x"]
    assert read_value("[1e3, -2E2, 7, 0.5]", "x") == [1000.0, -200.0, 7, 0.5]


BROKEN = {
    "a: [1,": "x:1:7: not valid YAML",
    "a: 1\n b: 2": "x:2:3: not valid YAML",
    "a: *b": "x:1:4: not valid YAML",
    "a: !!python/object:os.system 1": "x:1:4: not valid YAML",
    "a: 1\nb: 2\na: 3": "x:3:1: not valid YAML: key 'a' stands here twice",
    "a: {b: 1, b: 2}": "x:1:11: not valid YAML: key 'b' stands here twice",
    "? [1]\n: 2": "x:1:",
    "a: 2024-13-41": "x: not valid YAML: month must be in 1..12",
    "a: " + "[" * 3000: "x: not valid YAML",
    "": "x: expected 'key: value' lines, found an empty file",
    "- a": "x: expected 'key: value' lines, found a list; write for example 'run: {steps: 100}'",
    "3": "x: expected 'key: value' lines, found a number",
}


@pytest.mark.parametrize(("text", "says"), BROKEN.items(), ids=lambda text: text[:20])
def test_yaml_that_is_broken(text, says):
    with pytest.raises(UserError) as error:
        read_yaml(text, "x")
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


def test_merge_keys_stay():
    assert read_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}", "x")["b"] == {"x": 3, "y": 2}


def test_assign():
    recipe = {"run": {"lr": 1}, "objective": "vanilla", "decoder": None}
    for assignment in (
        "run.lr=1e-4",
        "objective.eps=0.1",
        "decoder.block_size=8",
        "data.task.name=sorting",
        "run.a=b=c",
    ):
        assign(recipe, assignment)
    assert recipe == {
        "run": {"lr": 1e-4, "a": "b=c"},
        "objective": {"name": "vanilla", "eps": 0.1},
        "decoder": {"block_size": 8},
        "data": {"task": {"name": "sorting"}},
    }
    assign(recipe, "model={path: x, lora: {rank: 4}}")
    assert recipe["model"] == {"path": "x", "lora": {"rank": 4}}
    assign(recipe, "run.lr=")
    assert recipe["run"]["lr"] is None
