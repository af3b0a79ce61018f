"""YAML as recipes write it: numbers as people write them, no key twice, and every mistake with its line and column."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from unmask.errors import UserError

_KINDS = {"list": "a list", "str": "text", "int": "a number", "float": "a number", "bool": "true or false"}


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but ``1e-5`` is a number, as in YAML 1.2 and JSON, and a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping; a key that is there twice is an error, as the first would silently be lost."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(problem=f"key '{key}' stands here twice", problem_mark=key_node.start_mark)
            seen.add(key if isinstance(key, Hashable) else id(key_node))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_value(text: str, path: str) -> Any:
    """Return what a text in YAML stands for, of any type.

    >>> read_value("{lr: 1e-5}", "recipe.yaml")
    {'lr': 1e-05}

    Args:
        text: YAML.
        path: where it comes from, for messages.

    Returns:
        The value.

    Raises:
        UserError: not YAML, with line and column.
    """
    try:
        return yaml.load(text, _Loader)  # a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UserError(f"{path}{where}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    except (ValueError, TypeError, RecursionError) as error:  # a date that is none, a list as a key, ten thousand "["
        raise UserError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None


def read_yaml(text: str, path: str) -> dict[str, Any]:
    """Return the mapping that a text in YAML stands for.

    Args:
        text: YAML.
        path: where it comes from, for messages.

    Returns:
        The mapping.

    Raises:
        UserError: not YAML, with line and column, or not a mapping.
    """
    value = read_value(text, path)
    if value is None:
        raise UserError(f"{path}: expected 'key: value' lines, found an empty file")
    if not isinstance(value, dict):
        found = _KINDS.get(type(value).__name__, type(value).__name__)
        raise UserError(f"{path}: expected 'key: value' lines, found {found}; write for example 'run: {{steps: 100}}'")
    return value


def assign(recipe: dict[str, Any], assignment: str) -> None:
    """Apply one ``--set path=value`` in place; the value is read as YAML.

    >>> recipe = {"run": {"steps": 10}}
    >>> assign(recipe, "run.lr=1e-4")
    >>> recipe
    {'run': {'steps': 10, 'lr': 0.0001}}

    Args:
        recipe: nested mappings; missing ones are made.
        assignment: keys joined by dots, an equals sign, and a value.

    Raises:
        UserError: the assignment has no path or no equals sign, or the path leads through a value without fields.
    """
    path, equals, value = assignment.partition("=")
    *parents, last = (name.strip() for name in path.split("."))
    if not equals or not all([*parents, last]):
        raise UserError(f"--set: expected path=value, found '{assignment}'; write for example --set run.steps=100")
    node = recipe
    for name in parents:
        if node.get(name) is None:
            node[name] = {}
        child = node[name]
        if isinstance(child, str):  # a component given by its bare name takes fields too
            child = node[name] = {"name": child}
        if not isinstance(child, dict):
            raise UserError(f"--set {path}: '{name}' holds {child!r}, which has no fields; write --set {name}=… first")
        node = child
    node[last] = read_value(value, f"--set {path}")


__all__ = ["assign", "read_value", "read_yaml"]
