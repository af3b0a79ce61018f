"""Configuration is the objects themselves: frozen dataclasses whose fields YAML fills and never computes."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, dataclass_transform

import yaml
from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from unmask.errors import UserError, did_you_mean
from unmask.registry import Registry

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def part(cls: type[T]) -> type[T]:
    """Make a replaceable part: a frozen, keyword-only dataclass that checks its fields when it is made."""
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    return cast("type[T]", pydantic_dataclass(frozen=True, kw_only=True, config=config)(cls))


class InvalidConfigError(UserError):
    """Every problem of a configuration at once.

    Args:
        problems: one line each, starting with the path of the field.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def fill(cls: type[T], values: Any, path: str = "") -> T:
    """Build a dataclass from a mapping of its fields.

    Args:
        cls: made by ``part`` (or any pydantic model).
        values: from YAML.
        path: where the mapping stands in the recipe, for messages.

    Raises:
        InvalidConfigError: unknown keys (with the nearest name), wrong types and values, all at once.
    """
    if not isinstance(values, Mapping):
        raise InvalidConfigError([f"{path or 'recipe'}: expected a mapping of fields, found {values!r}"])
    try:
        return cls(**{str(key): value for key, value in values.items()})
    except ValidationError as error:
        raise InvalidConfigError(_problems(error, field_names(cls), path)) from None
    except InvalidConfigError as error:  # from a part inside this one, which knows only its own fields
        raise InvalidConfigError([f"{path}.{p}" if path else p for p in error.problems]) from None
    except UserError as error:
        raise InvalidConfigError([f"{path}: {error}" if path else str(error)]) from None


def choose(registry: Registry[T], spec: Any, path: str = "") -> T:
    """Resolve a part that may be given as a value, a name, or a mapping with ``name`` and fields."""
    if isinstance(spec, str):
        spec = {"name": spec}
    if not isinstance(spec, Mapping):
        return spec  # type: ignore[no-any-return]  # a value made in Python
    if "name" not in spec:
        raise InvalidConfigError([f"{path}: expected 'name: …'; {did_you_mean('', registry)}"])
    try:
        cls = registry[str(spec["name"])]
    except UserError as error:
        raise InvalidConfigError([f"{path}: {error}"]) from None
    return fill(cls, {key: value for key, value in spec.items() if key != "name"}, path)


def resolver(registry: Registry[T]) -> Callable[[Any], T]:
    """Return a pydantic validator that lets a field be a value, a name, or a mapping."""

    def resolve(spec: Any) -> T:
        return choose(registry, spec)

    return resolve


def field_names(cls: type[Any]) -> list[str]:
    """List the fields of a dataclass or a pydantic model."""
    return list(getattr(cls, "__dataclass_fields__", None) or getattr(cls, "model_fields", {}))


def _problems(error: ValidationError, known: list[str], path: str) -> list[str]:
    lines = []
    for problem in error.errors():
        place = ".".join(str(p) for p in problem["loc"])
        full = ".".join(filter(None, [path, place]))
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            lines.append(f"{full}: unknown key; {did_you_mean(place, known)}")
        elif problem["type"].startswith("missing"):
            lines.append(f"{full}: missing")
        elif isinstance(cause := problem.get("ctx", {}).get("error"), InvalidConfigError):
            lines += [f"{full}{p}" if p.startswith(":") else f"{full}.{p}" for p in cause.problems]
        else:
            message = problem["msg"].removeprefix("Value error, ")
            message = message.replace("Input should be", "expected")
            lines.append(f"{full}: {message[0].lower()}{message[1:]}, found {problem['input']!r}")
    return lines


def read_yaml(text: str, place: str) -> dict[str, Any]:
    """Parse YAML into a mapping.

    Raises:
        UserError: not YAML (with line and column), or not a mapping.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UserError(f"{place}{where}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{place}: not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(value, dict):
        raise UserError(f"{place}: expected 'key: value' lines, found {type(value).__name__}")
    return value


def assign(recipe: dict[str, Any], assignment: str) -> None:
    """Apply one ``--set path=value`` in place; the value is read as YAML.

    >>> recipe = {"run": {"steps": 10}}
    >>> assign(recipe, "run.lr=1.0e-4")
    >>> recipe
    {'run': {'steps': 10, 'lr': 0.0001}}
    """
    path, equals, value = assignment.partition("=")
    if not equals:
        raise UserError(f"--set: expected path=value, found '{assignment}'; write for example run.steps=100")
    *parents, last = path.strip().split(".")
    node = recipe
    for name in parents:
        child = node.setdefault(name, {})
        if isinstance(child, str):  # a part given by its bare name takes fields too
            child = node[name] = {"name": child}
        if not isinstance(child, dict):
            raise UserError(f"--set {path}: '{name}' holds {child!r}, not fields")
        node = child
    node[last] = yaml.safe_load(value)


__all__ = ["InvalidConfigError", "assign", "choose", "field_names", "fill", "part", "read_yaml", "resolver"]
