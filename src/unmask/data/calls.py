"""Tools that a row describes, and calls of them, in the form that chat templates expect."""

from collections.abc import Mapping
from typing import Any

from unmask.data.fields import Row, kind
from unmask.data.parse import parse
from unmask.data.rows import BadRow

TOOL_COLUMNS = ("tools", "functions")

_NONE = (None, "", "[]", "null", [])
_CALL = '{"name": …, "arguments": {…}}'


def tools_of(row: Row) -> tuple[Mapping[str, Any], ...]:
    """Return the tools that a row describes, as it describes them; none where the column is empty.

    Raises:
        BadRow: what stands there is no list of tools.
    """
    column = tool_column(row)
    if column is None:
        return ()
    found = _list(row[column], f"expected a list of tools under '{column}'")
    tools = tuple(_read(tool) for tool in found)
    for tool in tools:
        if not isinstance(tool, Mapping) or not name_of(tool):
            detail = f"expected tools with a name under '{column}', found {kind(tool)}"
            raise BadRow("no tools", f"{detail}; if the column is no list of tools, name the others in data.columns")
    return tools


def tool_column(row: Row) -> str | None:
    """Return the column that describes tools; None if no column does."""
    return next((column for column in TOOL_COLUMNS if row.get(column) not in _NONE), None)


def name_of(tool: Mapping[str, Any]) -> str | None:
    """Return the name of a tool, which stands in it or under ``function``."""
    inner = tool.get("function")
    name = inner.get("name") if isinstance(inner, Mapping) else tool.get("name")
    return name if isinstance(name, str) and name.strip() else None


def calls_of(turn: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """Return the calls of a turn, under ``tool_calls`` or, as in older data, one under ``function_call``."""
    for key in ("tool_calls", "function_call"):
        if turn.get(key) not in _NONE:
            return [_call(call, where) for call in _list(turn[key], f"expected a list of calls in {where}")]
    return []


def calls_of_text(content: Any, where: str) -> list[dict[str, Any]]:
    """Return the calls of a turn whose text is a call, or a list of them."""
    return [_call(call, where) for call in _list(content, f"expected a call as JSON in {where}")]


def _list(value: Any, expected: str) -> list[Any]:
    if isinstance(value, str):
        try:
            value = parse(value)
        except BadRow as fault:
            raise BadRow("no call", f"{expected}, found text: {fault.detail}; write it as JSON") from None
    if isinstance(value, Mapping):
        return [value]
    if not isinstance(value, list) or not value:
        raise BadRow("no call", f"{expected}, found {kind(value)}")
    return value


def _read(value: Any) -> Any:
    """Return what JSON text says; other text as it is, which is neither a tool nor a call."""
    try:
        return parse(value) if isinstance(value, str) else value
    except BadRow:
        return value


def _call(value: Any, where: str) -> dict[str, Any]:
    """Put a call into the form ``{"type": "function", "function": {"name": …, "arguments": …}}``."""
    call = _read(value)
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str) or not name.strip():
        raise BadRow("no call", f"expected calls as {_CALL} in {where}, found {kind(call)}")
    arguments = inner.get("arguments", inner.get("parameters"))
    arguments = {} if arguments is None or arguments == "" else arguments
    if not isinstance(arguments, (str, Mapping)):
        raise BadRow("no call", f"expected an object as the arguments of '{name}' in {where}, found {kind(arguments)}")
    made = {**{key: entry for key, entry in inner.items() if key in ("name", "arguments")}, "arguments": arguments}
    if inner is call:
        return {"type": "function", "function": made, **({"id": call["id"]} if call.get("id") is not None else {})}
    return {"type": "function", **call, "function": made}
