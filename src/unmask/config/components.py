"""Configuration is the objects themselves: frozen dataclasses whose fields YAML fills and never computes."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import ErrorDetails

from unmask.config.registry import Registry
from unmask.errors import UserError, did_you_mean, shorten

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass_transform(frozen_default=True, kw_only_default=True)
def component(cls: type[T]) -> type[T]:
    """Return the class as a component: a frozen, keyword-only dataclass that checks its fields when it is made."""
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)
    made = cast("type[T]", pydantic_dataclass(frozen=True, kw_only=True, config=config)(cls))
    check = made.__init__

    @functools.wraps(check)
    def __init__(self: T, *args: Any, **values: Any) -> None:  # noqa: N807  # it replaces one
        try:
            check(self, *args, **values)
        except ValidationError as error:
            raise InvalidConfigError(_problems(error, made)) from None

    made.__init__ = __init__  # type: ignore[assignment]
    return made


class InvalidConfigError(UserError, ValueError):
    """Every problem of a configuration at once. (A ``ValueError``: pydantic collects those of inner components.)

    Args:
        problems: one line each, starting with the path of the field.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = [shorten(problem, 400) if len(problem) > 1000 else problem for problem in problems]
        super().__init__("; ".join(problem.removeprefix(": ") for problem in problems))


def fill(cls: type[T], values: object, path: str = "") -> T:
    """Return an instance of a dataclass, made from a mapping of its fields.

    Args:
        cls: made by ``component`` (or any pydantic model).
        values: from YAML.
        path: where the mapping stands in the recipe, for messages.

    Returns:
        The instance; fields that the mapping lacks have their defaults.

    Raises:
        InvalidConfigError: unknown keys (with the nearest name), wrong types and values, all at once.
    """
    if not isinstance(values, Mapping):
        raise InvalidConfigError([_under(path, f": expected fields, found {values!r}; {_example(cls)}")])
    try:
        return cls(**{str(key): value for key, value in values.items()})
    except InvalidConfigError as error:
        raise InvalidConfigError([_under(path, problem) for problem in error.problems]) from None
    except UserError as error:
        raise InvalidConfigError([_under(path, f": {error}")]) from None
    except UnicodeEncodeError:  # pydantic cannot quote what is no text
        problem = ": expected text that can be written as UTF-8, found half of a surrogate pair; write another"
        raise InvalidConfigError([_under(path, problem)]) from None


def _under(path: str, problem: str) -> str:
    """Return a problem with a path before it; it begins with a field's name or, if it is about the whole, a colon."""
    if not path:
        return problem
    return f"{path}{problem}" if problem.startswith(":") else f"{path}.{problem}"


def _example(cls: type[object]) -> str:
    return f"its fields are {', '.join(field_names(cls))}"


def choose(registry: Registry[T], spec: object, path: str = "") -> T:
    """Return the component that a specification stands for.

    Args:
        registry: the components that can be chosen by name.
        spec: a name, a mapping with ``name`` and fields, or a component made in Python, which is returned as it is.
        path: where the specification stands in the recipe, for messages.

    Returns:
        The component.

    Raises:
        InvalidConfigError: the specification has another type or no name, or the name or a field is wrong.
    """
    if isinstance(spec, str):
        spec = {"name": spec}
    if isinstance(spec, (bool, int, float, list, tuple)):
        raise InvalidConfigError([f"{path}: expected a name, found {spec!r}; {_known(registry)}"])
    if not isinstance(spec, Mapping):
        return cast("T", spec)  # a value made in Python
    if "name" not in spec:
        raise InvalidConfigError([f"{path}: expected 'name: …', found none; {_known(registry)}"])
    try:
        cls = registry[str(spec["name"])]
    except UserError as error:
        raise InvalidConfigError([f"{path}: {error}"]) from None
    return fill(cls, {key: value for key, value in spec.items() if key != "name"}, path)


def _known(registry: Registry[Any]) -> str:
    return did_you_mean("", registry)


def resolver(registry: Registry[T]) -> Callable[[object], T]:
    """Return a pydantic validator that lets a field be a component, a name, or a mapping with ``name`` and fields."""

    @chooses(registry)
    def resolve(spec: object) -> T:
        return choose(registry, spec)

    return resolve


def chooses(registry: Registry[Any], *, pattern: str | None = None) -> Callable[[F], F]:
    """Return a decorator that writes on a validator from which registry it chooses, for the reference and the schema.

    Args:
        registry: of the components that the validator takes by name.
        pattern: of further texts that it takes, a regular expression.

    Returns:
        A decorator that sets the attributes ``registry`` and ``pattern`` and returns the function itself.
    """

    def mark(validator: F) -> F:
        validator.registry = registry  # type: ignore[attr-defined]  # read by unmask.recipes.schema
        validator.pattern = pattern  # type: ignore[attr-defined]
        return validator

    return mark


def field_names(cls: type[object]) -> list[str]:
    """Return the names of the fields of a dataclass or a pydantic model, in their order."""
    return [field.name for field in fields(cls)] if is_dataclass(cls) else list(getattr(cls, "model_fields", {}))


# What pydantic calls a mistake -> what was expected. The rest keeps pydantic's own words.
_EXPECTED = {
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
}


def _problems(error: ValidationError, cls: type[object]) -> list[str]:
    """Return a line for each problem; the alternatives of a union share theirs."""
    lines: dict[str, str] = {}
    for problem in error.errors():
        path = ".".join(_steps(problem["loc"]))
        cause = problem.get("ctx", {}).get("error")
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            lines[path] = f"{path}: unknown key; {did_you_mean(path, field_names(cls))}"
        elif problem["type"].startswith("missing"):
            lines[path] = f"{path}: missing; write a value for it"
        elif isinstance(cause, InvalidConfigError):
            lines |= {f"{path} {inner}": _under(path, inner) for inner in cause.problems}
        else:
            lines.setdefault(path, f"{path}: {_wrong_value(problem, cls)}")
    return list(lines.values())


def _steps(loc: tuple[int | str, ...]) -> list[str]:
    """Return a location without pydantic's names for the alternatives of a union (``tuple[str, ...]``, ``str``)."""
    first, *rest = [str(step) for step in loc] or [""]
    types = ("str", "int", "float", "bool")
    return [first, *(step for step in rest if step.isdigit() or (step.isidentifier() and step not in types))]


def _wrong_value(problem: ErrorDetails, cls: type[object]) -> str:
    """Return what was expected, what was found, and what the field is by default."""
    expected = _EXPECTED.get(problem["type"])
    message: str
    if expected is None:
        message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        message = message[0].lower() + message[1:]
    else:
        limits = {name: _as_values(value) for name, value in problem.get("ctx", {}).items()}
        message = f"expected {expected.format(**limits)}"
    if problem["type"] == "value_error":  # a component's own check says all that there is to say
        return message
    default = _default(cls, problem["loc"])
    return f"{message}, found {problem['input']!r}" + ("" if default is None else f"; the default is {default}")


def _as_values(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value


def _default(cls: type[object], loc: tuple[int | str, ...]) -> object:
    """Return the plain default of a field, None if it has none worth showing."""
    field = getattr(cls, "__dataclass_fields__", {}).get(loc[0]) if loc else None
    default = getattr(field, "default", None)
    default = getattr(default, "default", default)  # of a pydantic Field
    if isinstance(default, tuple):
        return list(default) or None
    return default if isinstance(default, (int, float, str)) else None


__all__ = ["InvalidConfigError", "choose", "chooses", "field_names", "fill", "component", "resolver"]
