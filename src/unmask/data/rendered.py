"""Checks what a chat template shows of a turn (calls, thinking, text), and finds control tokens spelt in data."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from unmask.data.fields import leaves
from unmask.data.messages import REASONING
from unmask.data.parse import dump, parse
from unmask.data.records import BadRow, Message
from unmask.runtime.transformers_api import Tokenizer

_KEY, _VALUE, _NAME = "PROBEKEY", "PROBEVALUE", "PROBECALL"
THINKING = re.compile(r"</?think(?:ing)?>|\[/?THINK\]")
_OPENED = re.compile(r"(<think(?:ing)?>|\[THINK\])\s*\Z")


@dataclass(frozen=True, kw_only=True)
class CallForm:
    """The form in which a template takes calls of tools, found by rendering some.

    Args:
        blank: content of a turn that is only a call: empty text or null.
        takes_objects: whether it writes arguments that are an object.
        takes_text: whether it writes arguments that are JSON text, as they are.
    """

    blank: str | None
    takes_objects: bool
    takes_text: bool

    @classmethod
    def of(cls, render: Callable[[Sequence[Message]], str]) -> "CallForm | None":
        """Return the form that ``render``, from turns to text, shows in full; None if the template shows no calls."""
        found: list[tuple[int, CallForm]] = []
        for blank in ("", None):
            shown = [_shown(render, blank, arguments) for arguments in ({_KEY: _VALUE}, f'{{"{_KEY}": "{_VALUE}"}}')]
            if any(shown):
                form = cls(blank=blank, takes_objects=bool(shown[0]), takes_text=bool(shown[1]))
                found.append((len(shown[0] or shown[1]), form))
        # The shortest: some write "None" for null, others an empty turn of its own for empty text.
        return min(found, key=lambda entry: entry[0])[1] if found else None

    def fit(self, message: Message) -> Message:
        """Return a turn with its calls, and its content if that is empty, in this form."""
        calls = [
            {**call, "function": {**call["function"], "arguments": self._arguments(call["function"]["arguments"])}}
            for call in message["tool_calls"]
        ]
        return {**message, "content": message["content"] or self.blank, "tool_calls": calls}

    def _arguments(self, arguments: object) -> object:
        if isinstance(arguments, str) and not self.takes_text:
            try:
                read = parse(arguments)
            except BadRow as fault:
                raise BadRow("no call", f"expected the arguments of a call as JSON, found {fault.detail}") from None
            if not isinstance(read, Mapping):
                raise BadRow("no call", "expected the arguments of a call as a JSON object, found another value")
            return read
        return dump(arguments) if isinstance(arguments, Mapping) and not self.takes_objects else arguments


def missing_in(turn: Message, text: str) -> str | None:
    """Return the name of something in an assistant turn that a rendered text does not show; None if it shows all.

    Spaces do not count: templates trim, and set thinking in lines of its own, whose tags do not count either.
    """
    squashed, at = squash(text), 0
    for part in THINKING.split(turn["content"]):
        found = squashed.find(squash(part), at)
        if found < 0:
            return "its text beside the call" if turn.get("tool_calls") else "a part of it, such as its thinking"
        at = found + len(squash(part))
    for key in REASONING:
        if not is_shown(str(turn.get(key) or ""), squashed):
            return f"its {key}"
    for call in turn.get("tool_calls") or ():
        function = call["function"]
        arguments = function["arguments"]
        if isinstance(arguments, str):
            with suppress(BadRow):  # text that is no JSON is shown as it is
                arguments = parse(arguments)
        if not all(is_shown(leaf, squashed) for leaf in (function["name"], *_leaves(arguments))):
            return f"a part of its call of {function['name']}"
    return None


def is_thought(prompt: str, answer: str) -> bool:
    r"""Return whether an answer is in a thinking section that its prompt opens and it does not close.

    >>> is_thought("<think>\n", "No."), is_thought("<think>\n", "7 times 13\n</think>\n\nNo.")
    (True, False)
    """
    return _OPENED.search(prompt) is not None and not THINKING.search(answer)


def closed_thinking() -> BadRow:
    """Return the fault of an answer with thinking whose prompt closes the section already."""
    return BadRow(
        "thinking behind a closed section",
        "expected an answer without thinking, as the template closes the section in the prompt, found one with it; "
        "leave the thinking out, or let the template open answers without a section",
    )


def is_shown(part: str, squashed: str) -> bool:
    """Return whether ``squashed``, a text without spaces, contains another text, as it is or as JSON text."""
    if squash(part) in squashed:
        return True
    return any(squash(json.dumps(part, ensure_ascii=ascii_only)[1:-1]) in squashed for ascii_only in (False, True))


def squash(text: str) -> str:
    r"""Return the text without spaces, tabs and line breaks.

    >>> squash(" a\n b")
    'ab'
    """
    return "".join(text.split())


def special_tokens(tokenizer: Tokenizer) -> set[str]:
    """Return the texts of the tokens that a tokenizer marks as special."""
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return special | set(tokenizer.all_special_tokens)


def controls_of(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Return the texts of control tokens, sorted: all special ones but the unknown token and thinking tags."""
    special = special_tokens(tokenizer) - {tokenizer.unk_token}
    return tuple(sorted(token for token in special if token.strip() and not THINKING.fullmatch(token)))


def spelt_in(texts: Iterable[str], tokens: Sequence[str]) -> str | None:
    """Return the first of ``tokens``, given as text, that occurs in one of the texts; None if none does."""
    return next((token for text in texts for token in tokens if token in text), None)


def _shown(render: Callable[[Sequence[Message]], str], blank: str | None, arguments: object) -> str:
    """Return the rendered text of a turn that is only a call; empty if the template does not show all of it."""
    call = {"type": "function", "id": "probe0001", "function": {"name": _NAME, "arguments": arguments}}
    turn = {"role": "assistant", "content": blank, "tool_calls": [call]}
    try:
        text = render([{"role": "user", "content": "a"}, turn])
    except BadRow:
        return ""
    is_whole = all(part in text for part in (_NAME, _KEY, _VALUE)) and f'\\"{_KEY}' not in text
    return text if is_whole else ""


def _leaves(value: object) -> list[str]:
    """Return the keys and the values of arguments as text, numbers as JSON writes them."""
    found = [leaf for leaf in leaves(value) if isinstance(leaf, (str, int, float)) and not isinstance(leaf, bool)]
    return [leaf if isinstance(leaf, str) else json.dumps(leaf) for leaf in found]
