"""Turns records into the text of prompts and answers by the tokenizer's own chat template.

Every assistant turn is an example of its own: the turns before it are its prompt, those after it are left out, as in
decoding. Where its answer starts and ends is found by rendering the conversation up to it, and once more with it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from unmask.data.columns import is_empty
from unmask.data.fields import glimpse, strings
from unmask.data.messages import name_of
from unmask.data.records import BadRow, Difficulty, Message, Record
from unmask.data.rendered import (
    THINKING,
    CallForm,
    closed_thinking,
    controls_of,
    is_shown,
    is_thought,
    missing_in,
    special_tokens,
    spelt_in,
    squash,
)
from unmask.errors import UserError
from unmask.runtime.template_process import TemplateRefusedError
from unmask.runtime.transformers_api import Tokenizer, render_chat

Tools = Sequence[Mapping[str, Any]]

_USER, _ANSWER, _SYSTEM = "PROBEUSER", "PROBEANSWER", "PROBESYSTEM"


@dataclass(frozen=True, kw_only=True)
class TrainedTurn:
    """The text of one example.

    Args:
        prompt: clean context as text, special tokens included.
        answer: text of the answer, without its end.
        source: where the row came from.
        difficulty: of the row.
        control: a control token that the data spell in an answer; None if there is none.
        is_thought: whether the prompt opens a thinking section that the answer does not close.
        row: number of the row, counted from 0.
        is_text: whether it is a text without a prompt, which is cut where it is too long.
    """

    prompt: str
    answer: str
    source: str
    control: str | None = None
    is_thought: bool = False
    difficulty: Difficulty | None = None
    row: int = 0
    is_text: bool = False


@dataclass(frozen=True, kw_only=True)
class RawText:
    """Prompts and completions as they are, for base models: nothing is put between the two.

    Args:
        tokenizer: any tokenizer.
        end_id: token after every answer.
        start: tokens that the tokenizer puts before every text, such as a beginning-of-text token.
    """

    tokenizer: Tokenizer
    end_id: int
    start: tuple[int, ...]

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """Texts of control tokens, which no answer may spell."""
        return controls_of(self.tokenizer)

    @classmethod
    def of(cls, tokenizer: Tokenizer, end_ids: Sequence[int] = ()) -> "RawText":
        """Return raw text with the tokenizer's start and end tokens; its end is ``end_ids[0]`` if it names none."""
        framed, bare = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
        found = [i for i in range(len(framed)) if framed[i : i + len(bare)] == bare]
        return cls(
            tokenizer=tokenizer, end_id=_eos(tokenizer, end_ids), start=tuple(framed[: found[0] if found else 0])
        )

    def prompt(self, prompt: str | Sequence[Message], tools: Tools = ()) -> str:
        """Return the prompt unchanged; a ``UserError`` if it is a conversation, which needs a chat template."""
        del tools
        if not isinstance(prompt, str):
            raise _without_template("a conversation")
        return prompt

    def trained_turns(self, record: Record) -> Iterator[TrainedTurn | BadRow]:
        """Yield the one example of a prompt and its completion; a conversation is a ``UserError``."""
        if record.messages:
            raise _without_template(f"{record.source}: a conversation")
        if record.tools:
            raise BadRow("tools not shown", "expected a chat template to show the tools of the row, found raw text")
        _require(record.completion)
        spelt = spelt_in([record.completion], self.controls)
        yield TrainedTurn(
            prompt=record.prompt, answer=record.completion, source=record.source, control=spelt, is_text=record.is_text
        )

    def unread(self, messages: Sequence[Message]) -> set[str]:
        """Return an empty set: there are no turns whose keys could be left unread."""
        del messages
        return set()


@dataclass(frozen=True, kw_only=True)
class ChatText:
    """Properties of a chat template, found by rendering probes, and the examples that it renders.

    Args:
        tokenizer: one with a chat template.
        end_id: token after every answer.
        end_text: its text, if the template writes it; empty where the end-of-text token is put instead.
        after: all text that the template writes after an answer. Some close the turn and a line, some open a turn.
        header: text that opens an answer in templates that ignore ``add_generation_prompt``; usually empty.
        takes_system: whether system turns are rendered. If not, their text goes before the first user turn's.
    """

    tokenizer: Tokenizer
    end_id: int
    end_text: str
    after: str
    header: str
    takes_system: bool
    start: tuple[int, ...] = ()  # the template writes its own beginning-of-text token

    @classmethod
    def of(cls, tokenizer: Tokenizer, end_ids: Sequence[int] = ()) -> "ChatText":
        """Return the template's properties, from what it writes around a probe's answer; a ``UserError`` if nothing.

        ``end_ids[0]`` ends answers if neither the template nor the tokenizer name an end.
        """
        user, answer = {"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}
        try:
            opened = _render(tokenizer, [user], opened=True)
            before, found, after = _render(tokenizer, [user, answer]).rpartition(_ANSWER)
        except BadRow as error:
            raise UserError(
                f"expected a chat template that renders a user and an assistant turn, {error.detail}"
            ) from None
        if not found:
            raise UserError("expected a chat template that renders assistant turns, found one that drops them")
        ignores_opening = opened == _render(tokenizer, [user])
        header = before.removeprefix(opened) if ignores_opening and before.startswith(opened) else ""
        end_text = _first_special(tokenizer, after)
        return cls(
            tokenizer=tokenizer,
            end_id=tokenizer.convert_tokens_to_ids(end_text) if end_text else _eos(tokenizer, end_ids),
            end_text=end_text,
            after=after,
            header=header if header.strip() else "",
            takes_system=_takes_system(tokenizer, user),
        )

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """Texts of control tokens, which no answer may spell."""
        return controls_of(self.tokenizer)

    @cached_property
    def calls(self) -> CallForm | None:
        """Form in which the template takes calls of tools; None if it does not show them."""
        return CallForm.of(lambda messages: _render(self.tokenizer, messages))

    def prompt(self, prompt: str | Sequence[Message], tools: Tools = ()) -> str:
        """Return the text of a prompt up to where the answer starts; a ``BadRow`` if the template drops a turn."""
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        rendered = self._render(messages, tools, opened=True) + self.header
        squashed = squash(rendered)
        for message in messages:
            if message["role"] != "assistant" and not is_shown(message["content"], squashed):
                raise BadRow(
                    "turn not shown",
                    f"expected a chat template that shows all turns, found that it drops a {message['role']} turn",
                )
        return rendered

    def trained_turns(self, record: Record) -> Iterator[TrainedTurn | BadRow]:
        """Yield an example, or its fault, for every trained assistant turn from the record's first answer on."""
        messages = record.messages or (
            {"role": "user", "content": record.prompt},
            {"role": "assistant", "content": record.completion},
        )
        spoken = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        answers = [i for i in spoken if i >= record.first_answer]
        trained = [i for i in answers if messages[i].get("weight") != 0]
        if not trained:
            found = f"{_roles(messages)}, none of them trained" if answers else _roles(messages)
            raise BadRow("no response", f"expected an assistant turn, found {found}")
        tools = self._shown_tools(messages[: trained[0]], record.tools) if record.tools else ()
        ended = self._first_ended(messages, tools)
        control, read = None, 0  # of all answers up to the turn
        for index in trained:
            source = f"{record.source} turn {index + 1}" if len(answers) > 1 else record.source
            said = (text for i in spoken if read <= i <= index for text in strings(messages[i]))
            control, read = control or spelt_in(said, self.controls), index + 1
            try:
                if ended <= index:
                    raise BadRow(
                        "end-of-turn token in the text",
                        f"expected text without '{self.end_text}', found it in the content",
                    )
                yield replace(self._trained_turn(messages[:index], messages[index], tools, source), control=control)
            except BadRow as fault:
                yield BadRow(fault.reason, f"turn {index + 1}: {fault.detail}") if len(answers) > 1 else fault

    def unread(self, messages: Sequence[Message]) -> set[str]:
        """Return the keys of turns that are not empty and that the template does not mention."""
        source = str(self.tokenizer.chat_template)
        keys = {key for message in messages for key, value in message.items() if not is_empty(value)}
        return {key for key in keys - {"role", "content", "tool_calls", "weight"} if key not in source}

    def _first_ended(self, messages: Sequence[Message], tools: Tools) -> float:
        """Return the index of the first turn whose text spells the end of a turn, 0 if a tool does, else infinity."""
        if not self.end_text:
            return math.inf
        if any(self.end_text in text for text in strings(tools)):
            return 0
        ended = (i for i, m in enumerate(messages) if any(self.end_text in text for text in strings(m)))
        return next(ended, math.inf)

    def _trained_turn(self, history: Sequence[Message], turn: Message, tools: Tools, source: str) -> TrainedTurn:
        if not turn.get("tool_calls"):
            _require(turn["content"])
        if not any(message["role"] == "user" for message in history):
            raise BadRow(
                "no prompt",
                "expected a user turn before the assistant's, found none",
            )
        prompt = self.prompt(history, tools)
        answer = self._added([*history, turn], prompt, tools)
        end = answer.find(self.end_text) if self.end_text else len(answer.removesuffix(self.after))
        if end < 0:
            raise BadRow(
                "lost by the chat template",
                f"expected a turn that the template ends with '{self.end_text}', as others, found "
                f"'{glimpse(answer[-30:])}' at its end; use a template that ends all turns alike",
            )
        answer = answer[:end]
        if missing_in(turn, answer) and (part := missing_in(turn, self._opening(history, prompt, tools) + answer)):
            raise BadRow(
                "shortened by the chat template",
                f"expected the whole response, found that the template drops {part}; use a template that shows it",
            )
        return TrainedTurn(prompt=prompt, answer=answer, source=source, is_thought=is_thought(prompt, answer))

    def _added(self, messages: Sequence[Message], prompt: str, tools: Tools) -> str:
        """Return the text that the template writes for the last turn, from where decoding would start."""
        full = self._render(messages, tools)
        if full.startswith(prompt):
            return full[len(prompt) :]
        # The generation prompt holds more than the turn does (an opened thinking section, say).
        opened = self._opening(messages[:-1], prompt, tools).rstrip()
        closed = prompt[: len(prompt.rstrip()) - len(opened)]
        if THINKING.search(opened) and full.startswith(closed + opened):
            return full[len(closed + opened) :]  # the turn opens the section too, with other spaces
        # The longest common prefix would swallow answers that begin alike, so the turn's start is found by a probe.
        probe = [*messages[:-1], {"role": "assistant", "content": _ANSWER}]
        before, found, _ = self._render(probe, tools).rpartition(_ANSWER)
        if not found or not full.startswith(before):
            raise closed_thinking() if THINKING.search(opened) else _lost(full)
        answer, opening = full[len(before) :], prompt.removeprefix(before).strip()
        if prompt.startswith(before) and opening and answer.lstrip().startswith(opening):
            return answer.lstrip()[len(opening) :]  # the answer opens the section itself, with other spaces
        return answer

    def _opening(self, history: Sequence[Message], prompt: str, tools: Tools) -> str:
        """Return the text that the generation prompt adds to the history: the beginning of the answer's turn."""
        closed = self._render(history, tools)
        return prompt[len(closed) :] if prompt.startswith(closed) else ""

    def _shown_tools(self, history: Sequence[Message], tools: Tools) -> Tools:
        """Return the tools in the form that the template shows: as they are, or each under ``function``."""
        bare = self._render(history, (), opened=True)
        wrapped = tuple(t if "function" in t else {"type": "function", "function": t} for t in tools)
        for form in (tools, wrapped):
            try:
                rendered = self._render(history, form, opened=True)
            except BadRow:
                continue
            if rendered != bare and all(str(name_of(tool)) in rendered for tool in tools):
                return form
        raise BadRow(
            "tools not shown",
            "expected a chat template that shows the tools of the row, found one that does not; use an instruct "
            "model's template for tools, or leave the tools out of the data",
        )

    def _render(self, messages: Sequence[Message], tools: Tools = (), *, opened: bool = False) -> str:
        """Return the rendered text of turns, put into the forms that the template takes."""
        fitted = [_fitted(message, self) for message in self._foldable(messages)]
        return _render(self.tokenizer, fitted, tools, opened=opened)

    def _foldable(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the turns; a system turn that the template does not render is put into the first user turn."""
        if self.takes_system or len(messages) < 2 or (messages[0]["role"], messages[1]["role"]) != ("system", "user"):
            return messages
        content = f"{messages[0]['content']}\n\n{messages[1]['content']}"
        return [{**messages[1], "content": content}, *messages[2:]]


Text = RawText | ChatText


def text_of(tokenizer: Tokenizer, chat: bool | None = None, end_ids: Sequence[int] = ()) -> Text:
    """Return how prompts and answers become text: by the chat template, or as they are.

    Args:
        tokenizer: with a chat template or without.
        chat: True renders everything by the chat template, prompt and completion as a user and an assistant turn;
            False takes prompts and completions as they are; None is True where there is a template.
        end_ids: of the model; the first is used for tokenizers that name no end-of-text token.

    Returns:
        The renderer of texts.

    Raises:
        UserError: ``chat`` is True and the tokenizer has no chat template.
    """  # noqa: DOC503
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if chat and not has_template:
        raise _without_template("chat=true")
    return ChatText.of(tokenizer, end_ids) if has_template and chat is not False else RawText.of(tokenizer, end_ids)


def _fitted(message: Message, text: ChatText) -> Message:
    """Return a turn without its weight, and with its calls in the form that the template takes."""
    message = {key: value for key, value in message.items() if key != "weight"}
    if not message.get("tool_calls"):
        return message
    if text.calls is None:
        raise BadRow(
            "calls not shown",
            "expected a chat template that shows calls of tools, found one that drops them; use an instruct model's "
            "template for tools",
        )
    return text.calls.fit(message)


def _render(tokenizer: Tokenizer, messages: Sequence[Message], tools: Tools = (), *, opened: bool = False) -> str:
    try:
        return render_chat(tokenizer, messages, opened=opened, tools=list(tools) or None)
    except TemplateRefusedError as error:  # of one that goes beyond its limits, no other turns are tried
        detail = f"expected turns that the chat template takes, found {_roles(messages)}: {error.reason}"
        raise BadRow("refused by the chat template", detail) from error


def _takes_system(tokenizer: Tokenizer, user: Message) -> bool:
    try:
        return _SYSTEM in _render(tokenizer, [{"role": "system", "content": _SYSTEM}, user])
    except BadRow:
        return False


def _first_special(tokenizer: Tokenizer, text: str) -> str:
    """Return the special token that comes first in a text, or empty text."""
    found = [(text.find(token), -len(token), token) for token in special_tokens(tokenizer)]
    return min((f for f in found if f[0] >= 0), default=(0, 0, ""))[2]


def _eos(tokenizer: Tokenizer, end_ids: Sequence[int]) -> int:
    # Encoders such as ModernBERT name no end-of-text token: their separator ends a text.
    for token_id in (tokenizer.eos_token_id, *end_ids[:1], tokenizer.sep_token_id):
        if token_id is not None:
            return int(token_id)
    raise UserError("expected a tokenizer with an end-of-text token, found none; set tokenizer.eos_token")


def _require(completion: str) -> None:
    if not completion.strip():
        raise BadRow("empty response", "expected a response, found an empty one")


def _roles(messages: Sequence[Message]) -> str:
    return ", ".join(str(message["role"]) for message in messages) or "no turns"


def _lost(rendered: str) -> BadRow:
    return BadRow(
        "lost by the chat template",
        f"expected the turn after its history, found '{glimpse(rendered[-30:])}'; use a template that continues what "
        "it opens for the answer",
    )


def _without_template(what: str) -> UserError:
    return UserError(
        f"{what} needs a chat template, found a tokenizer without one; use an instruct model's tokenizer, set "
        "model.chat_template in the recipe, or give prompt and completion columns and data.chat=false"
    )
