"""Every key of a recipe: what may be written, the default, the meaning, an example. Read from the JSON schema."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from unmask.errors import UserError, did_you_mean
from unmask.recipes.examples import EXAMPLES
from unmask.runtime.paths import ASSETS

Schema = dict[str, Any]
SCHEMA_FILE = ASSETS / "recipe.schema.json"
"""The schema of what ships with unmask, written by ``make index``."""
REQUIRED = "(required)"
_TYPES = {
    "integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text", "null": "null",
    "object": "a mapping", "array": "a list",
}  # fmt: skip
_LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of a recipe.

    Args:
        path: keys from the outermost in, joined by dots: ``run.lr``; or ``objective.blockwise.eps``.
        type: what may be written, in words.
        default: what holds where it is not written, as YAML, or ``(required)``.
        meaning: from the class that reads it.
        example: a value, as YAML.
        component: whether it is a field of a component, whose name is the last but one in the path.
    """

    path: str
    type: str
    default: str
    meaning: str
    example: str
    component: bool = False

    @property
    def line(self) -> str:
        """The example as one line of a recipe, from the outermost key in: ``run: {lr: 1.0e-05}``."""
        *outer, last = self.path.split(".")
        if self.component:
            last = f"name: {outer.pop()}, {last}"
        return f"{''.join(f'{key}: {{' for key in outer)}{last}: {self.example}{'}' * len(outer)}"


def read_schema() -> Schema:
    """Return the JSON schema of recipes as it ships, without components of plugins. Nothing of torch is loaded."""
    schema: Schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


def key_of(kind: str, name: str = "") -> str:
    """Return the key under ``$defs`` of a kind of component, or of one component of it.

    >>> key_of("block rule"), key_of("objective", "blockwise")
    ('block_rule', 'objective.blockwise')
    """
    return kind.replace(" ", "_") + (f".{name}" if name else "")


def components_of(schema: Schema, kind: str) -> dict[str, str]:
    """Return name -> what it does, of the components of a kind.

    Args:
        schema: from ``recipe_schema``.
        kind: of component, as ``unmask methods`` names it.

    Returns:
        In the order of the names; empty where a recipe takes no component of that kind.
    """
    start = f"{key_of(kind)}."
    return {
        name.removeprefix(start): made["description"]
        for name, made in schema["$defs"].items()
        if name.startswith(start)
    }


def kinds_of(schema: Schema) -> list[str]:
    """Return the kinds of components that a recipe takes."""
    return [name.replace("_", " ") for name, made in schema["$defs"].items() if "anyOf" in made]


def recipe_keys(schema: Schema) -> list[Key]:
    """Return the keys of all sections, with those of nested mappings; components' own fields are left out.

    Args:
        schema: from ``recipe_schema``.

    Returns:
        Keys in the order of the sections and their fields.
    """
    found = []
    for section, inner in schema["properties"].items():
        if "properties" in inner:
            found += list(_keys(inner, section, schema))
        else:
            found.append(_key(inner, section, schema, required=False))
    return found


def component_keys(schema: Schema, kind: str, name: str) -> list[Key]:
    """Return the fields of a component.

    Args:
        schema: from ``recipe_schema``.
        kind: of component, as ``unmask methods`` names it.
        name: of the component.

    Returns:
        A key for each field.
    """
    made = schema["$defs"][key_of(kind, name)]
    own = {**made, "properties": {key: inner for key, inner in made["properties"].items() if key != "name"}}
    return [replace(key, component=key.path.count(".") == 2) for key in _keys(own, f"{kind}.{name}", schema)]


def in_schema(schema: Schema, path: str, value: object = None) -> str:
    """Return the meaning of a key, or, where its value is a component, what that component does.

    Args:
        schema: from ``recipe_schema``.
        path: of the key: ``run.lr``; a field of a component has its section's path before it, ``objective.members``.
        value: what is written there; a mapping with ``name`` is a component.

    Returns:
        Text for people, empty where the key is not known.
    """
    made: Schema = {"properties": schema["properties"]}
    kind = ""
    for name in path.split("."):
        options = [_resolved(each, schema) for each in _alternatives(made)]
        choices = [_resolved(each, schema) for option in options for each in option.get("anyOf", [option])]
        made = next((each["properties"][name] for each in choices if name in each.get("properties", {})), {})
        refs = [_ref(each) or _ref(each.get("items", {}) or {}) for each in _alternatives(made)]
        kind = next((ref for ref in refs if "anyOf" in schema["$defs"].get(ref, {})), "")
    if kind and isinstance(value, Mapping) and "name" in value:
        component = schema["$defs"].get(f"{kind}.{value['name']}", {})
        return str(component.get("description", ""))
    return str(made.get("description", ""))


def find_keys(schema: Schema, wanted: str) -> list[Key]:
    """Return the keys of a section, or one key with what is nested in it.

    Args:
        schema: from ``recipe_schema``.
        wanted: ``run``, ``run.lr`` or, where no other section has it, ``lr``.

    Returns:
        At least one key.

    Raises:
        UserError: there is none of that name.
    """
    keys = recipe_keys(schema)
    under = [key for key in keys if key.path == wanted or key.path.startswith(f"{wanted}.")]
    under = under or [key for key in keys if key.path.endswith(f".{wanted}")]
    if not under:
        known = {key.path for key in keys}
        known |= {path.rpartition(".")[2] for path in known} | set(schema["properties"])
        raise UserError(f"a recipe has no key '{wanted}'; {did_you_mean(wanted, known)}")
    return under


def _keys(made: Mapping[str, Any], path: str, schema: Schema) -> Iterator[Key]:
    for name, inner in made["properties"].items():
        yield _key(inner, f"{path}.{name}", schema, required=name in made.get("required", ()))
        nested = _nested(inner, schema)
        if nested is not None:
            yield from _keys(nested, f"{path}.{name}", schema)


def _key(made: Mapping[str, Any], path: str, schema: Schema, *, required: bool) -> Key:
    default = made.get("default")
    return Key(
        path=path,
        type=in_words(made, schema),
        default=REQUIRED if required else as_yaml(default),
        meaning=made.get("description", ""),
        example=as_yaml(example_of(made, path, schema)),
    )


def _nested(made: Mapping[str, Any], schema: Schema) -> Schema | None:
    """Return the class whose fields a key takes as a mapping, or None."""
    for each in _alternatives(made):
        found = _resolved(each, schema)
        if "properties" in found and "name" not in found["properties"]:
            return found
    return None


def _alternatives(made: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what may be written, but for null."""
    return [each for each in made.get("anyOf", [made]) if each.get("type") != "null"]


def _resolved(made: Mapping[str, Any], schema: Schema) -> Schema:
    """Return what a reference leads to, or the schema itself."""
    ref = _ref(made)
    return schema["$defs"][ref] if ref else dict(made)


def _ref(made: Mapping[str, Any]) -> str:
    """Return the name under ``$defs`` that a schema refers to; empty text where it refers to none."""
    linked = made.get("allOf", [made])[0].get("$ref", "")
    return str(linked).rpartition("/")[2]


def in_words(made: Mapping[str, Any], schema: Schema) -> str:
    """Return what may be written, in words: ``a number above 0``. That null may stand for the default is left out.

    Args:
        made: the schema of a key.
        schema: of the recipe.

    Returns:
        Words without a full stop.
    """
    return _words({"anyOf": _alternatives(made)}, schema)


def _words(made: Mapping[str, Any], schema: Schema, *, many: bool = False) -> str:
    if ref := _ref(made):
        if "anyOf" in schema["$defs"][ref]:
            kind = ref.replace("_", " ")
            return f"{kind}s" if many else f"{_article(kind)} {kind}: a name, or {{name: …, its fields}}"
        return "a mapping"
    if "anyOf" in made:
        return " or ".join(dict.fromkeys(_words(each, schema, many=many) for each in _alternatives(made)))
    if "enum" in made:
        return f"one of {', '.join(map(as_yaml, made['enum']))}"
    if "const" in made:
        return as_yaml(made["const"])
    written = made.get("type")
    if written == "array":
        items = made.get("items", {})
        if isinstance(items, list):
            return f"a list of {len(items)}: {'; '.join(dict.fromkeys(_words(each, schema) for each in items))}"
        least = f", at least {made['minItems']}" if made.get("minItems") else ""
        return f"a list of {_words(items, schema, many=True)}{least}" if items else f"a list{least}"
    if written == "object" and made.get("additionalProperties") not in (None, True, False):
        return f"a mapping to {in_words(made['additionalProperties'], schema)}"
    word = _TYPES.get(str(written), "anything")
    word = f"{word.removeprefix('a ')}s" if many and word.startswith("a ") else word
    limits = " and ".join(f"{says} {as_yaml(made[name])}" for name, says in _LIMITS.items() if name in made)
    return f"{word} {limits}" if limits else word


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def example_of(made: Mapping[str, Any], path: str, schema: Schema) -> Any:
    """Return an example of a key: the one that is written for it, else its default, else one made from its type.

    Args:
        made: the schema of the key.
        path: of the key.
        schema: of the recipe.

    Returns:
        A value that the type takes.
    """
    last = f"*.{path.rpartition('.')[2]}"
    if path in EXAMPLES or (last in EXAMPLES and "examples" not in made):
        return EXAMPLES.get(path, EXAMPLES.get(last))
    if made.get("examples"):
        return made["examples"][0]
    default = made.get("default")
    if isinstance(default, bool):
        return not default
    choices = made.get("enum") or next((each["enum"] for each in _alternatives(made) if "enum" in each), None)
    if choices:
        return next((choice for choice in choices if choice != default), choices[0])
    return _made_up(made, schema) if default in (None, [], {}) else default


def _made_up(made: Mapping[str, Any], schema: Schema) -> Any:
    """Return a value of a type."""
    made = _alternatives(made)[0]
    if ref := _ref(made):
        choices = schema["$defs"][ref].get("anyOf")
        return choices[0].get("const", {"name": ref}) if choices else {}
    kind, default = made.get("type"), made.get("const", made.get("enum", [None])[0])
    if default is not None:
        return default
    if kind == "array":
        items = made.get("items", {})
        if isinstance(items, list):
            return [_made_up(each, schema) for each in items]
        return [_made_up(items, schema)] * max(1, made.get("minItems", 1)) if items else []
    if kind in ("integer", "number"):
        low, high = made.get("minimum", made.get("exclusiveMinimum")), made.get("maximum", made.get("exclusiveMaximum"))
        if low is not None and high is not None:
            return low if kind == "integer" else (low + high) / 2
        return low + 1 if low is not None else high - 1 if high is not None else 1
    if kind == "object":
        values = made.get("additionalProperties")
        return {"key": _made_up(values, schema)} if isinstance(values, dict) else {}
    return {"boolean": True, "string": "text"}.get(str(kind), "text")


def as_yaml(value: Any) -> str:
    """Return a value on one line of YAML.

    >>> as_yaml({"name": "lift", "weights": [1, 2.5]}), as_yaml(None), as_yaml("no"), as_yaml(1e-5)
    ('{name: lift, weights: [1, 2.5]}', 'null', "'no'", '1.0e-05')

    Args:
        value: of JSON types.

    Returns:
        YAML that is read as the value.
    """
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
