"""Every key of a recipe is explained from the dataclasses, and the JSON schema takes what recipes may hold."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from unmask.config.components import field_names
from unmask.config.docstrings import meanings
from unmask.recipes.examples import EXAMPLES
from unmask.recipes.recipe import SECTIONS, build_sections, read_recipe
from unmask.recipes.reference import (
    REQUIRED,
    SCHEMA_FILE,
    component_keys,
    components_of,
    find_keys,
    kinds_of,
    read_schema,
    recipe_keys,
)
from unmask.recipes.schema import OF_SECTION

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "src/unmask/assets"
STUDIES = {*(ASSETS / "studies").glob("*.yaml")}  # recipes of another kind
SHIPPED = sorted({*(ROOT / "recipes").glob("*.yaml"), *ASSETS.rglob("*.yaml")} - STUDIES - {*ASSETS.rglob("bases/*")})
SCHEMA = read_schema()
KEYS = {key.path: key for key in recipe_keys(SCHEMA)}
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def faults(value, schema, path="recipe"):  # noqa: C901  # a branch for each word of the schema
    """Return why the schema refuses a value: the words of draft 7 that the schema of recipes uses, and no others."""
    if "$ref" in schema:
        return faults(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    found = []
    for word, said in schema.items():
        if word == "allOf":
            found += [fault for each in said for fault in faults(value, each, path)]
        elif word == "anyOf":
            found += [] if any(not faults(value, each, path) for each in said) else [f"{path}: none of the kinds"]
        elif word == "const":
            found += [] if value == said else [f"{path}: is not {said}"]
        elif word == "enum":
            found += [] if value in said else [f"{path}: is none of {said}"]
        elif word == "type":
            is_bool = isinstance(value, bool) and said != "boolean"
            fits = value is None if said == "null" else isinstance(value, TYPES[said]) and not is_bool
            found += [] if fits else [f"{path}: is no {said}"]
        elif word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if isinstance(value, (int, float)):
                within = {
                    "minimum": value >= said, "maximum": value <= said, "exclusiveMinimum": value > said,
                    "exclusiveMaximum": value < said,
                }  # fmt: skip
                found += [] if within[word] else [f"{path}: {word} {said}"]
        elif word == "pattern":
            found += [] if isinstance(value, str) and re.search(said, value) else [f"{path}: is not like {said}"]
        elif word in ("minItems", "minLength"):
            found += [f"{path}: {word} {said}"] if isinstance(value, (list, str)) and len(value) < said else []
        elif word == "maxItems":
            found += [f"{path}: {word} {said}"] if isinstance(value, list) and len(value) > said else []
        elif word == "required":
            found += [f"{path}.{name}: missing" for name in said if isinstance(value, dict) and name not in value]
        elif word == "properties" and isinstance(value, dict):
            found += [f for name in said if name in value for f in faults(value[name], said[name], f"{path}.{name}")]
        elif word == "additionalProperties" and isinstance(value, dict):
            others = value.keys() - schema.get("properties", {}).keys()
            if said is False:
                found += [f"{path}.{name}: unknown" for name in others]
            elif said is not True:
                found += [fault for name in others for fault in faults(value[name], said, f"{path}.{name}")]
        elif word == "items" and isinstance(value, list):
            each = said if isinstance(said, list) else [said] * len(value)
            found += [f for i, (v, s) in enumerate(zip(value, each, strict=False)) for f in faults(v, s, f"{path}.{i}")]
        else:
            assert word in ("$schema", "$defs", "title", "description", "default", "examples", "properties", "items",
                            "additionalProperties"), f"{word}: teach it to this test"  # fmt: skip
    return found


def test_the_committed_files_are_current():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/recipe_reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("section", OF_SECTION)
def test_every_key_of_a_section_is_there_with_a_meaning_and_an_example(section):
    page = (ROOT / "docs/recipe.md").read_text()
    for name in field_names(OF_SECTION[section]):
        if (section, name) == ("run", "objective"):  # a section of its own
            continue
        path = f"{section}.{name}"
        assert path in KEYS, path
        assert KEYS[path].meaning, f"{path}: has no meaning; write it under Args of {OF_SECTION[section].__name__}"
        assert f"| `{name}` |" in page, path


def test_nothing_is_without_a_meaning():
    components = [
        key for kind in kinds_of(SCHEMA) for name in components_of(SCHEMA, kind)
        for key in component_keys(SCHEMA, kind, name)
    ]  # fmt: skip
    assert len(components) > 200
    for key in [*KEYS.values(), *components]:
        assert key.meaning.strip(" ."), f"{key.path}: has no meaning; write it under Args of its class"
        assert "anything" not in key.type, f"{key.path}: its type is not known"


BASES = [
    {"model": {"path": "m"}, "data": {"path": "d.jsonl"}},
    {
        "model": {"path": "m"},
        "data": {"path": "d.jsonl", "held_out": 8},
        "evaluate": {"task": "sorting", "while_training": 4},
    },
    {"model": {"from_scratch": {}}, "data": {"task": "sorting", "size": 1000}},
    {"model": {"path": "m"}, "data": {}},
]


def assigned(base, path, value):
    """Return a recipe with a value at a path; mappings on the way are made."""
    made = json.loads(json.dumps(base))
    node = made
    *outer, last = path.split(".")
    for name in outer:
        node = node.setdefault(name, {})
    if isinstance(node, dict):
        node[last] = value
    return made


def is_beside(other, path):
    """Return whether a mapping that a key stands in holds the other key, too."""
    return other != path and f"{path}.".startswith(f"{other.rpartition('.')[0]}.")


def accepted(path):
    """Return a recipe that takes the example of a key, alone or beside that of one other key; else None and why."""
    value = yaml.safe_load(KEYS[path].example)
    section = path.partition(".")[0]
    required = {key.path for key in KEYS.values() if key.default == REQUIRED and is_beside(key.path, path)}
    reasons = []
    for base in BASES:
        if section == "evaluate":
            base = {**BASES[0], "evaluate": {}}
        for need in required:
            base = assigned(base, need, yaml.safe_load(KEYS[need].example))
        for beside in [None, *(other for other in KEYS if other.startswith(f"{section}.") and other != path)]:
            full = base if beside is None else assigned(base, beside, yaml.safe_load(KEYS[beside].example))
            problems = build_sections(assigned(full, path, value))[1]
            if not problems:
                return assigned(full, path, value), []
            reasons += problems
    return None, reasons


@pytest.mark.parametrize("path", [path for path in KEYS if path != "plugins"])
def test_the_example_of_a_key_is_accepted(path):
    recipe, reasons = accepted(path)
    assert recipe is not None, (
        f"{path}: the example {KEYS[path].example} is refused ({reasons[0]}); write another in EXAMPLES"
    )
    assert not faults(recipe, SCHEMA)


def test_written_examples_belong_to_keys():
    assert not {path for path in EXAMPLES if not path.startswith("*")} - KEYS.keys()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_recipes_fit_the_schema_and_name_it(path):
    assert not faults(read_recipe(path), SCHEMA)
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text())
    assert named, "the first line names the schema for editors"
    assert (path.parent / named[1]).resolve() == SCHEMA_FILE.resolve()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"run": {"stepz": 3}}, "recipe.run.stepz: unknown"),
        ({"run": {"steps": "many"}}, "recipe.run.steps: is no integer"),
        ({"run": {"lr": 0}}, "recipe.run.lr: exclusiveMinimum 0"),
        ({"run": {"schedule": "cosin"}}, "recipe.run.schedule: is none of"),
        ({"run": {"betas": [0.9]}}, "recipe.run.betas: minItems 2"),
        ({"run": {"objective": "vanilla"}}, "recipe.run.objective: unknown"),
        ({"trainer": {}}, "recipe.trainer: unknown"),
        ({"model": {"lora": {"rnk": 4}}}, "recipe.model.lora: none of the kinds"),
        ({"objective": "blokwise"}, "recipe.objective: none of the kinds"),
        ({"objective": {"name": "blockwise", "blocksize": 3}}, "recipe.objective: none of the kinds"),
        ({"objective": {"name": "mixture", "members": [{"name": "lift", "eps": "x"}]}}, "none of the kinds"),
        ({"data": {"task": {"name": "sorting", "longest": "x"}}}, "recipe.data.task: none of the kinds"),
        ({"decoder": {"constraint": "regex"}}, "recipe.decoder.constraint: none of the kinds"),  # pattern is missing
        ({"decoder": {"proposal": {"name": "nucleus", "top_p": 2}}}, "recipe.decoder.proposal: none of the kinds"),
    ],
)
def test_mistakes_are_refused_by_the_schema(wrong, says):
    assert any(says in fault for fault in faults(wrong, SCHEMA)), faults(wrong, SCHEMA)
    assert build_sections({**BASES[0], **wrong})[1], "and by the recipe's reader"


@pytest.mark.skipif(importlib.util.find_spec("jsonschema") is None, reason="jsonschema is not installed")
def test_jsonschema_says_the_same():
    from jsonschema import Draft7Validator

    Draft7Validator.check_schema(SCHEMA)
    check = Draft7Validator(SCHEMA)
    assert not [error for path in SHIPPED for error in check.iter_errors(read_recipe(path))]
    assert list(check.iter_errors({"run": {"stepz": 3}}))


def test_components_are_all_in_the_schema():
    from unmask.config.registry import read_index

    index = read_index()
    for kind in ("objective", "task", "selection", "proposal", "block rule", "revision", "view", "cache", "search",
                 "stop", "constraint", "curriculum", "hide", "weight"):  # fmt: skip
        assert components_of(SCHEMA, kind).keys() == index[kind].keys()
    assert {*SCHEMA["properties"]} == {*SECTIONS}


def test_keys_are_found_by_section_path_or_last_name():
    assert [key.path for key in find_keys(SCHEMA, "run.lr")] == ["run.lr"]
    assert [key.path for key in find_keys(SCHEMA, "lr")] == ["run.lr"]
    assert {key.path for key in find_keys(SCHEMA, "model.lora")} > {"model.lora", "model.lora.rank"}
    assert all(key.path.startswith("data.") for key in find_keys(SCHEMA, "data"))
    lr = KEYS["run.lr"]
    assert (lr.type, lr.default, lr.line) == ("a number above 0", "1.0e-05", "run: {lr: 1.0e-05}")


def test_meanings_of_a_class_come_before_those_of_its_bases():
    class Base:
        """One.

        Args:
            size: of the base.
            width: in columns;
                at least 1.

        Returns:
            nothing: at all.
        """

    class Inner(Base):
        """Two.

        Args:
            size: of the class.
        """

    assert list(meanings(Inner).items()) == [("size", "of the class."), ("width", "in columns; at least 1.")]
