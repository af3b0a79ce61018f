"""Overrides: what an arm, a size or a value of an axis changes in a recipe."""

import copy
from collections.abc import Mapping
from typing import Any


def merge(values: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Lay changes over nested mappings; neither argument is changed.

    A mapping extends the one it meets, None drops what it meets, and anything else replaces it; so does a mapping
    with a ``name``, which is another component and takes over no fields.

    >>> merge({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"x": None, "z": 4}, "b": 5})
    {'a': {'y': 2, 'z': 4}, 'b': 5}
    >>> merge({"objective": {"name": "lift", "components": 2}}, {"objective": {"name": "blockwise"}})
    {'objective': {'name': 'blockwise'}}

    Args:
        values: nested mappings.
        changes: what is laid over them; None: nothing.

    Returns:
        A new mapping.
    """
    merged = copy.deepcopy(dict(values))
    for key, change in (changes or {}).items():
        there = merged.get(key)
        if change is None:
            merged.pop(key, None)
        elif isinstance(change, Mapping) and isinstance(there, Mapping) and "name" not in change:
            merged[key] = merge(there, change)
        elif isinstance(change, Mapping) and "name" not in change:
            merged[key] = merge({}, change)
        else:
            merged[key] = copy.deepcopy(change)
    return merged
