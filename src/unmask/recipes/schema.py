"""The JSON schema of recipes, made from the dataclasses that read them: editors check and complete keys by it.

pydantic writes the types. Added here are the meanings (docstrings), and, where a field is a component, all components
of its kind with their fields.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from unmask.config.docstrings import meanings, summary
from unmask.config.registry import Registry, name_of, read_index
from unmask.decoding import Decoder
from unmask.recipes.recipe import SECTIONS
from unmask.recipes.reference import Schema, key_of
from unmask.recipes.sections import DataSection, EvaluateSection, ModelSection
from unmask.train.config import TrainRun

OF_SECTION: Mapping[str, type] = {
    "model": ModelSection, "data": DataSection, "decoder": Decoder, "run": TrainRun, "evaluate": EvaluateSection,
}  # fmt: skip
"""Section of a recipe -> the class that reads it. ``plugins`` is a list, and ``objective`` a component."""
PLUGINS: Schema = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Modules, or .py files beside the recipe, that register components. They are run: trust them.",
}
_COMPONENT = "x-component"
"""Stands in the schema that pydantic makes where a component of this kind is to be written."""

_PYTHON = "x-python"
"""Stands there for a type that no recipe can write."""


def recipe_schema(*, shipped: bool = False) -> Schema:
    """Return the JSON schema of a recipe (draft 7, which the YAML server of editors reads).

    Args:
        shipped: leave out the components of plugins.

    Returns:
        An object with the sections as properties; under ``$defs`` the nested classes, each kind of component, and each
        component (``objective.blockwise``).
    """
    kinds: dict[str, Registry[Any]] = {}
    defs: dict[str, Schema] = {}
    sections = {name: _of_class(cls, defs, kinds) for name, cls in OF_SECTION.items()}
    sections["run"]["properties"] = dict(sections["run"]["properties"])
    sections |= {"plugins": PLUGINS, "objective": sections["run"]["properties"].pop("objective")}
    for kind in iter(lambda: next((kind for kind in kinds if key_of(kind) not in defs), None), None):
        defs[key_of(kind)] = {}  # a component may hold others of its own kind
        defs[key_of(kind)] = _of_kind(kinds[kind], defs, kinds, shipped=shipped)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "unmask recipe",
        "description": "A training run of unmask. 'unmask docs recipe' explains every key.",
        "type": "object",
        "properties": {name: sections[name] for name in SECTIONS},
        "additionalProperties": False,
        "$defs": {name: defs[name] for name in sorted(defs)},
    }


def _of_class(cls: type, defs: dict[str, Schema], kinds: dict[str, Registry[Any]]) -> Schema:
    """Return the schema of a class; nested classes are added to ``defs``, kinds of components to ``kinds``."""
    generator = _Generator(ref_template="#/$defs/{model}")
    made = generator.generate(TypeAdapter(cls).core_schema)
    kinds |= generator.kinds
    for name, inner in made.pop("$defs", {}).items():
        if defs.setdefault(name, _linked(inner)) != _linked(inner):
            raise RuntimeError(f"two classes of recipes are called {name}; rename one")
    linked: Schema = _linked(made)
    return linked


def _of_kind(
    registry: Registry[Any], defs: dict[str, Schema], kinds: dict[str, Registry[Any]], *, shipped: bool
) -> Schema:
    """Return the schema of a component: a name alone, or a mapping with a name and fields."""
    names = list(read_index()[registry.kind] if shipped else registry)
    alone, filled = [], []
    for name in names:
        made = _of_class(registry[name], defs, kinds)
        named: Schema = {"name": {"const": name}, **made.get("properties", {})}
        required = ["name", *made.get("required", ())]
        defs[key_of(registry.kind, name)] = {
            "description": made["description"], "type": "object", "properties": named, "required": required,
            "additionalProperties": False,
        }  # fmt: skip
        filled.append({"$ref": f"#/$defs/{key_of(registry.kind, name)}"})
        if len(required) == 1:
            alone.append({"const": name, "description": made["description"]})
    return {"anyOf": [*alone, *filled]}


class _Generator(GenerateJsonSchema):
    """pydantic's schema of a dataclass, with meanings, and marks where components stand."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.kinds: dict[str, Registry[Any]] = {}

    def function_before_schema(self, schema: Any) -> Schema:
        """Return a mark for a field that takes components, else what pydantic writes."""
        registry = getattr(schema["function"]["function"], "registry", None)
        if registry is None:
            return super().function_before_schema(schema)
        self.kinds[registry.kind] = registry
        one: Schema = {_COMPONENT: registry.kind}
        if pattern := schema["function"]["function"].pattern:
            one = {"anyOf": [one, {"type": "string", "pattern": pattern}]}
        return {"type": "array", "items": one} if schema["schema"]["type"] == "tuple" else one

    def dataclass_schema(self, schema: Any) -> Schema:
        """Return the schema of a dataclass with meanings, in the order of its docstring, without pydantic's titles."""
        made = dict(super().dataclass_schema(schema))
        said = meanings(schema["cls"])
        order = [name for name in said if name in made.get("properties", {})]
        made["properties"] = {
            name: _of_field(made["properties"][name], said.get(name))
            for name in dict.fromkeys([*order, *made.get("properties", {})])
            if not _is_of_python(made["properties"][name])
        }
        made.pop("title", None)
        return {**made, "description": _as_text(summary(schema["cls"]))}

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        """Return a mark for what only Python can make, such as an automaton."""
        del schema, error_info
        return {_PYTHON: True}

    def encode_default(self, dft: Any) -> Any:
        """Return a default as a recipe writes it."""
        return as_written(dft) if is_dataclass(dft) else super().encode_default(dft)


def as_written(value: Any) -> Any:
    """Return a value as a recipe writes it: a component as its name, or with the fields that are not their defaults."""
    if isinstance(value, (tuple, list)):
        return [as_written(each) for each in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    usual = type(value)() if not any(_is_required(f) for f in fields(value)) else None
    changed = {
        f.name: as_written(getattr(value, f.name))
        for f in fields(value)
        if usual is None or getattr(value, f.name) != getattr(usual, f.name)
    }
    name = name_of(value)
    return name if name and not changed else {**({"name": name} if name else {}), **changed}


def _is_required(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _of_field(made: Mapping[str, Any], meaning: str | None) -> Schema:
    """Return the schema of a field: null is allowed where it is the default, and the meaning is its description."""
    inner = {key: value for key, value in made.items() if key not in ("title", "default", "examples")}
    beside = {key: value for key, value in made.items() if key in ("default", "examples")}
    if "default" in made and made["default"] is None and {"type": "null"} not in inner.get("anyOf", ()):
        inner = {"anyOf": [*inner.get("anyOf", [inner]), {"type": "null"}]}
    return {**inner, **beside, **({"description": _as_text(meaning)} if meaning else {})}


def _is_of_python(made: Schema) -> bool:
    """Return whether none of the types of a field can be written in a recipe."""
    types = [each for each in made.get("anyOf", [made]) if each != {"type": "null"}]
    return all(_PYTHON in each for each in types)


def _as_text(doc: str) -> str:
    """Return a docstring with Markdown's marks of code, and with YAML's word for None."""
    return re.sub(r"\bNone\b", "null", doc.replace("``", "`"))


def _linked(schema: Any) -> Any:
    """Return a schema with references in place of the marks of components, in the words of draft 7."""
    if isinstance(schema, list):
        return [_linked(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {key: _linked(value) for key, value in schema.items() if key not in (_COMPONENT, "$ref", "prefixItems")}
    if "prefixItems" in schema:
        return {**rest, "items": _linked(schema["prefixItems"])}
    ref = f"#/$defs/{key_of(schema[_COMPONENT])}" if _COMPONENT in schema else schema.get("$ref")
    if ref is None:
        return rest
    return {"allOf": [{"$ref": ref}], **rest} if rest else {"$ref": ref}  # draft 7 reads nothing beside a $ref
