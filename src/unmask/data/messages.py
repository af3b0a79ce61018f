"""Reads lists of turns, tools and calls as many data sets write them, and returns them as chat templates do."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unmask.data.fields import Row, glimpse, kind
from unmask.data.parse import dump, parse
from unmask.data.records import BadRow, Message
from unmask.errors import UserError

CALL = "function_call"
"""Speaker of a turn whose text is a call; it becomes an assistant turn."""

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "bot"), "assistant"),
    **{role: role for role in ("system", "developer", "tool")},
    **dict.fromkeys((CALL, "tool_call"), CALL),
    **dict.fromkeys(("observation", "function", "tool_response", "tool_result", "ipython"), "tool"),
}
"""Names of speakers in published data -> the roles of chat templates, or ``CALL``."""

WEIGHTS = ("weight", "loss", "train", "training")
"""Keys of a turn whose value is whether it is trained."""

REASONING = ("reasoning_content", "reasoning", "thinking")
"""Keys under which templates expect the thinking before an answer."""

READ = frozenset(("role", "from", "content", "value", "tool_calls", CALL, *WEIGHTS))
"""Keys of a turn that are read here; all others are passed to the template."""

_TEXT_PARTS = (None, "text", "input_text", "output_text")


def roles_of(mapping: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """Return ``data.roles``, written in either direction, as name -> role.

    >>> roles_of({"Arzt": "assistant", "user": ["Kind", "Eltern"]})
    {'Arzt': 'assistant', 'Kind': 'user', 'Eltern': 'user'}

    Args:
        mapping: name -> role, or role -> names.

    Returns:
        Name -> role.

    Raises:
        UserError: an entry has no role.
    """
    ours, found = set(ROLES.values()), {}
    for key, value in mapping.items():
        if isinstance(value, str) and value in ours:
            found[key] = value
        elif key in ours:
            found |= dict.fromkeys([value] if isinstance(value, str) else value, key)
        else:
            raise UserError(
                f"data.roles.{glimpse(key)}: expected one of the roles {', '.join(sorted(ours))}, found "
                f"{kind(value)}; write for example {{{glimpse(key)}: assistant}}"
            )
    return found


def turns(
    value: object, column: str, role: str = "response", roles: Mapping[str, str] | None = None
) -> tuple[Message, ...]:
    """Return a list of turns, read from keys role and content, or from and value.

    Args:
        value: the list, or JSON text of one.
        column: that holds it, for messages.
        role: what the turns are for, such as ``response``, for the message if they are missing.
        roles: further names of speakers.

    Returns:
        Turns with ``role`` and ``content``, which is text; calls under ``tool_calls``; ``weight: 0`` on turns that are
        context only; and whatever else a turn had that is not null.

    Raises:
        BadRow: it is no list of turns, or a speaker is not known.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse(value)
        except BadRow as fault:
            detail = f"expected a list of turns under '{column}', found text: {fault.detail}; write it as JSON"
            raise BadRow("wrong type", detail) from None
    if value is None:
        raise BadRow(f"no {role}", f"expected a list of turns under '{column}', found null")
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadRow("wrong type", f"expected a list of turns under '{column}', found {kind(value)}")
    known = {**ROLES, **{name.lower(): ours for name, ours in (roles or {}).items()}}
    return tuple(_turn(turn, f"{column}[{index}]", known) for index, turn in enumerate(value))


def _turn(value: object, where: str, roles: Mapping[str, str]) -> Message:
    if not isinstance(value, Mapping):
        raise BadRow("wrong type", f"expected an object with role and content at {where}, found {kind(value)}")
    given = {key: entry for key, entry in value.items() if entry is not None}  # columnar files fill keys with nulls
    speaker, content = given.get("role", given.get("from")), given.get("content", given.get("value"))
    if not isinstance(speaker, str) or speaker.lower() not in roles:
        found = "none" if speaker is None else f"'{glimpse(str(speaker))}'"
        raise BadRow(
            "unknown role",
            f"expected a role at {where} (one of {', '.join(roles)}), found {found}; write data.roles={{name: role}}",
        )
    role = roles[speaker.lower()]
    made = calls_of(given, where)
    if role == CALL:
        made, content, role = calls_of_text(content, where), "", "assistant"
    if made and role != "assistant":
        raise BadRow("wrong type", f"expected calls in assistant turns only, found some in the {role} turn {where}")
    turn: dict[str, Any] = {"role": role, "content": _content(content, where, role, bool(made))}
    if made:
        turn["tool_calls"] = made
    if _is_context(given, where):
        turn["weight"] = 0
    return {**turn, **{key: entry for key, entry in given.items() if key not in READ}}


def _content(content: object, where: str, role: str, is_call: bool) -> str:
    """Return the text of a turn. The result of a tool may be any JSON; a call needs no text beside it."""
    if isinstance(content, str):
        return content
    if content is None and is_call:
        return ""
    if isinstance(content, list) and (role != "tool" or all(map(_is_content_item, content))):
        return "".join(_text_of(item, where) for item in content)
    if role == "tool" and content is not None:
        return dump(content)
    raise BadRow("wrong type", f"expected text as the content of {where}, found {kind(content)}")


def _is_content_item(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def _text_of(item: object, where: str) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, Mapping) and item.get("type") in _TEXT_PARTS and isinstance(item.get("text"), str):
        return str(item["text"])
    if isinstance(item, Mapping) and item.get("type") not in _TEXT_PARTS:
        found = f"a part of type '{glimpse(str(item['type']))}'"
        raise BadRow("not text", f"expected text as the content of {where}, found {found}; only text is trained")
    raise BadRow("wrong type", f"expected text as the content of {where}, found a part that is {kind(item)}")


def _is_context(turn: Mapping[str, Any], where: str) -> bool:
    """Return whether a turn is to be read but not trained."""
    said = {key: _is_trained(turn[key], key, where) for key in WEIGHTS if key in turn}
    if len(set(said.values())) > 1:
        keys = " and ".join(said)
        raise BadRow("weight", f"expected one answer to whether {where} is trained, found that {keys} disagree")
    return False in said.values()


def _is_trained(value: Any, key: str, where: str) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("true", "false"):
        return word == "true"
    try:
        number = float(word)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if number not in (0, 1):
        raise BadRow(
            "weight",
            f"expected 0 (context only) or 1 (trained) as the {key} of {where}, found {kind(value)}; a turn is trained "
            "in full or not at all",
        )
    return number == 1


TOOL_COLUMNS = ("tools", "functions")

_NONE: tuple[object, ...] = (None, "", "[]", "null", [])
_CALL = '{"name": …, "arguments": {…}}'


def tools_of(row: Row) -> tuple[Mapping[str, Any], ...]:
    """Return the tools that a row describes, as it describes them; none where the column is empty.

    Args:
        row: of the data set.

    Returns:
        An object for each tool.

    Raises:
        BadRow: the column holds no list of tools with names.
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
    """Return the name of the column that describes tools; None if no column does."""
    return next((column for column in TOOL_COLUMNS if row.get(column) not in _NONE), None)


def name_of(tool: Mapping[str, Any]) -> str | None:
    """Return the name of a tool, given in it or under ``function``; None if it has none."""
    inner = tool.get("function")
    name = inner.get("name") if isinstance(inner, Mapping) else tool.get("name")
    return name if isinstance(name, str) and name.strip() else None


def calls_of(turn: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """Return the calls of a turn, from ``tool_calls`` or, as in older data, one from ``function_call``.

    Args:
        turn: of a chat.
        where: the turn, for messages.

    Returns:
        An object for each call, in the form of chat templates; none if the turn has no calls.
    """
    for key in ("tool_calls", "function_call"):
        if turn.get(key) not in _NONE:
            return [_call(call, where) for call in _list(turn[key], f"expected a list of calls in {where}")]
    return []


def calls_of_text(content: object, where: str) -> list[dict[str, Any]]:
    """Return the calls of a turn whose text is JSON of a call, or of a list of them.

    Args:
        content: of the turn.
        where: the turn, for messages.

    Returns:
        An object for each call, in the form of chat templates.
    """
    return [_call(call, where) for call in _list(content, f"expected a call as JSON in {where}")]


def _list(value: object, expected: str) -> list[Any]:
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


def _read(value: object) -> Any:
    """Return the value of JSON text; other text, which is neither a tool nor a call, unchanged."""
    try:
        return parse(value) if isinstance(value, str) else value
    except BadRow:
        return value


def _call(value: object, where: str) -> dict[str, Any]:
    """Return a call in the form ``{"type": "function", "function": {"name": …, "arguments": …}}``."""
    call = _read(value)
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(name, str) or not name.strip():
        raise BadRow("no call", f"expected calls as {_CALL} in {where}, found {kind(call)}")
    arguments = inner.get("arguments", inner.get("parameters"))
    arguments = {} if arguments is None or arguments == "" else arguments
    if not isinstance(arguments, (str, Mapping)):
        raise BadRow("no call", f"expected an object as the arguments of '{name}' in {where}, found {kind(arguments)}")
    made = {**{key: entry for key, entry in inner.items() if key in ("name", "arguments")}, "arguments": arguments}
    if inner is call:
        return {"type": "function", "function": made, **({"id": call["id"]} if call.get("id") is not None else {})}
    return {"type": "function", **call, "function": made}
