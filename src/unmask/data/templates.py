"""Records to the text of prompts and answers by the tokenizer's own chat template.

Every assistant turn is an example of its own: the turns before it are its clean prompt, the turns after it do not
exist, as when it is decoded. Where the answer starts and ends comes from the template, which needs no generation
markers for it: the conversation is rendered up to the turn with a generation prompt, and once more with the turn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from unmask.data.rows import BadRow, Difficulty, Message, Record
from unmask.errors import UserError

_USER, _ANSWER, _SYSTEM = "PROBEUSER", "PROBEANSWER", "PROBESYSTEM"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The text of one example.

    Args:
        prompt: clean context as text, special tokens included.
        answer: text of the answer, without its end.
        place: where it came from.
        difficulty: of the row.
    """

    prompt: str
    answer: str
    place: str
    difficulty: Difficulty | None = None


@dataclass(frozen=True, kw_only=True)
class RawText:
    """Prompts and completions as they stand, for base models: nothing is put between the two.

    Args:
        tokenizer: any tokenizer.
        end_id: token after every answer.
        start: tokens that the tokenizer puts before every text, such as a beginning-of-text token.
    """

    tokenizer: Any
    end_id: int
    start: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any, end_ids: Sequence[int] = ()) -> "RawText":
        """Ask the tokenizer for its start and end tokens."""
        framed, bare = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
        places = [i for i in range(len(framed)) if framed[i : i + len(bare)] == bare]
        return cls(
            tokenizer=tokenizer, end_id=_eos(tokenizer, end_ids), start=tuple(framed[: places[0] if places else 0])
        )

    def prompt(self, prompt: str | Sequence[Message]) -> str:
        """Return the text itself."""
        if not isinstance(prompt, str):
            raise _without_template("a conversation")
        return prompt

    def pieces(self, record: Record) -> Iterator[Piece | BadRow]:
        """Yield the one example of a prompt/completion row."""
        if record.messages:
            raise _without_template(f"{record.place}: a conversation")
        _require(record.completion)
        yield Piece(prompt=record.prompt, answer=record.completion, place=record.place)


@dataclass(frozen=True, kw_only=True)
class ChatText:
    """What a chat template does to a conversation, found out by rendering probes.

    Args:
        tokenizer: one with a chat template.
        end_id: token after every answer.
        end_text: its text, if the template writes it; empty where the end-of-text token is put instead.
        after: all that the template writes after an answer. Some close the turn and a line, some open the next turn.
        header: what opens an answer in templates that ignore ``add_generation_prompt``; usually empty.
        takes_system: whether system turns are rendered. If not, their text goes before the first user turn's.
    """

    tokenizer: Any
    end_id: int
    end_text: str
    after: str
    header: str
    takes_system: bool
    start: tuple[int, ...] = ()  # the template writes its own beginning-of-text token

    @classmethod
    def of(cls, tokenizer: Any, end_ids: Sequence[int] = ()) -> "ChatText":
        """Render a plain exchange and look at what stands around its answer."""
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

    def prompt(self, prompt: str | Sequence[Message]) -> str:
        """Render the history up to where the next answer starts."""
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        return _render(self.tokenizer, self._foldable(messages), opened=True) + self.header

    def pieces(self, record: Record) -> Iterator[Piece | BadRow]:
        """Yield an example, or what is wrong with it, for every assistant turn from the record's first answer on."""
        messages = record.messages or (
            {"role": "user", "content": record.prompt},
            {"role": "assistant", "content": record.completion},
        )
        answers = [i for i, m in enumerate(messages) if m["role"] == "assistant" and i >= record.first_answer]
        if not answers:
            raise BadRow("no response", f"expected an assistant turn, found {_roles(messages)}")
        for index in answers:
            place = f"{record.place} turn {index + 1}" if len(answers) > 1 else record.place
            try:
                yield self._piece(messages[:index], messages[index], place)
            except BadRow as fault:
                yield BadRow(fault.reason, f"turn {index + 1}: {fault.detail}") if len(answers) > 1 else fault

    def _piece(self, history: Sequence[Message], turn: Message, place: str) -> Piece:
        _require(turn["content"])
        if not any(message["role"] == "user" for message in history):
            raise BadRow("no prompt", "expected a user turn before the assistant's, found none")
        for message in (*history, turn):
            if self.end_text and self.end_text in message["content"]:
                raise BadRow(
                    "end-of-turn token in the text", f"expected text without '{self.end_text}', found it in the content"
                )
        prompt = self.prompt(history)
        answer = self._added([*history, turn], prompt)
        end = answer.find(self.end_text) if self.end_text else len(answer.removesuffix(self.after))
        if end < 0:
            raise _lost(answer)
        if _letters(answer[:end]) < _letters(turn["content"]):
            raise BadRow(
                "shortened by the chat template",
                "expected the whole response, found that the template drops a part of it, such as its thinking",
            )
        return Piece(prompt=prompt, answer=answer[:end], place=place)

    def _added(self, messages: Sequence[Message], prompt: str) -> str:
        """Return what the template writes for the last turn, from where decoding would take over."""
        full = _render(self.tokenizer, self._foldable(messages))
        if full.startswith(prompt):
            return full[len(prompt) :]
        # The generation prompt holds more than the turn does (an opened thinking section, say). The longest common
        # prefix would swallow answers that begin alike, so the turn's start is found by a probe in its place.
        probe = [*messages[:-1], {**messages[-1], "content": _ANSWER}]
        before, found, _ = _render(self.tokenizer, self._foldable(probe)).rpartition(_ANSWER)
        if not found or not full.startswith(before):
            raise _lost(full)
        return full[len(before) :]

    def _foldable(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Move the text of a system turn into the first user turn where the template has no place for it."""
        if self.takes_system or len(messages) < 2 or (messages[0]["role"], messages[1]["role"]) != ("system", "user"):
            return messages
        content = f"{messages[0]['content']}\n\n{messages[1]['content']}"
        return [{**messages[1], "content": content}, *messages[2:]]


Text = RawText | ChatText


def text_of(tokenizer: Any, chat: bool | None = None, end_ids: Sequence[int] = ()) -> Text:
    """Choose how text is laid out.

    Args:
        tokenizer: with a chat template or without.
        chat: True renders everything by the chat template, prompt and completion as a user and an assistant turn;
            False takes prompts and completions as they are; None is True where there is a template.
        end_ids: of the model; the first serves tokenizers that name no end-of-text token.

    Raises:
        UserError: ``chat`` is True and the tokenizer has no chat template.
    """
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if chat and not has_template:
        raise _without_template("chat=true")
    return ChatText.of(tokenizer, end_ids) if has_template and chat is not False else RawText.of(tokenizer, end_ids)


def _render(tokenizer: Any, messages: Sequence[Message], *, opened: bool = False) -> str:
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=opened)
    except (TemplateError, TypeError, ValueError, LookupError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        detail = f"expected turns that the chat template takes, found {_roles(messages)}: {reason}"
        raise BadRow("refused by the chat template", detail) from error


def _takes_system(tokenizer: Any, user: Message) -> bool:
    try:
        return _SYSTEM in _render(tokenizer, [{"role": "system", "content": _SYSTEM}, user])
    except BadRow:
        return False


def _first_special(tokenizer: Any, text: str) -> str:
    """Return the special token that comes first in a text, or nothing."""
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    found = [(text.find(token), -len(token), token) for token in special | set(tokenizer.all_special_tokens)]
    return min((f for f in found if f[0] >= 0), default=(0, 0, ""))[2]


def _eos(tokenizer: Any, end_ids: Sequence[int]) -> int:
    # Encoders such as ModernBERT name no end-of-text token: their separator ends a text.
    for token_id in (tokenizer.eos_token_id, *end_ids[:1], tokenizer.sep_token_id):
        if token_id is not None:
            return int(token_id)
    raise UserError("expected a tokenizer with an end-of-text token, found none; set tokenizer.eos_token")


def _require(completion: str) -> None:
    if not completion.strip():
        raise BadRow("empty response", "expected a response, found an empty one")


def _letters(text: str) -> int:
    """Count what is not space: templates trim, and set thinking in lines of its own."""
    return sum(map(len, text.split()))


def _roles(messages: Sequence[Message]) -> str:
    return ", ".join(str(message["role"]) for message in messages) or "no turns"


def _lost(rendered: str) -> BadRow:
    return BadRow("lost by the chat template", f"expected the turn after its history, found '{rendered[-40:]}'")


def _without_template(what: str) -> UserError:
    return UserError(
        f"{what} needs a chat template, found a tokenizer without one; use an instruct model's tokenizer, set "
        "tokenizer.chat_template, or give prompt and completion columns and data.chat=false"
    )
