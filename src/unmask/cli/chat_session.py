"""One chat: what was said, how answers are decoded, and the commands that change either."""

import contextlib
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from unmask.cli.chat_input import QUOTES
from unmask.cli.decoding import check_decoder, decoder_of
from unmask.cli.opening import Decoder, LoadedModel
from unmask.cli.options import decoder_options
from unmask.cli.present import as_text, say
from unmask.errors import UserError, did_you_mean, shorten
from unmask.runtime.foreign import check_file, read_text

UNSET = ("default", "none")
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a name or YAML"}


class LeaveError(Exception):
    """The user wants to leave the chat."""


class Chat:
    """A chat with a model.

    Args:
        lm: the model.
        model: its name, as the user wrote it.
        chosen: options of the decoder, None where nothing was written.
        system: a system prompt; empty: none.
        seed: of the sampler.
    """

    def __init__(self, lm: LoadedModel, *, model: str, chosen: Mapping[str, Any], system: str, seed: int) -> None:
        self.lm = lm
        self.model = model
        self.seed = seed
        self.system = system
        self.turns: list[dict[str, str]] = []
        self.last = ""
        self.attempt = 0
        self.is_answered = False
        self.has_template = bool(getattr(lm.tokenizer, "chat_template", None))
        self.chosen: dict[str, Any] = {}
        self.choose(chosen)

    @property
    def canvas(self) -> int:
        """Columns of each answer's canvas."""
        from unmask.config.defaults import resolve_canvas

        return resolve_canvas(given=self.chosen["max_new_tokens"], model=self.lm.facts.canvas)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The system prompt, if there is one, and all turns."""
        return [*([{"role": "system", "content": self.system}] if self.system else []), *self.turns]

    def choose(self, chosen: Mapping[str, Any]) -> None:
        """Decode from now on with these options; a ``UserError`` is raised, and nothing changed, if they do not fit."""
        before = self.chosen
        decoder = decoder_for(chosen, self.model)
        self.chosen = dict(chosen)
        try:
            check_decoder(decoder, self.lm, self.canvas)
        except UserError:
            self.chosen = before
            raise
        self.decoder: Decoder = decoder

    def command(self, line: str) -> str | None:
        """Do what a line that begins with / says.

        Args:
            line: the command and its argument.

        Returns:
            A text that is to be answered now; None if there is none.

        Raises:
            LeaveError: the user wants to leave.
            UserError: no such command, or an argument that it cannot use.
        """  # noqa: DOC502, DOC503
        name, _, argument = line.partition(" ")
        found = COMMANDS.get(ALIASES.get(name, name))
        if found is None:
            near = did_you_mean(name, COMMANDS)
            hint = near if near.endswith("?") else "/help lists them"
            raise UserError(
                f"unknown command '{shorten(name, 40)}'; {hint}; a text that begins with / goes between {QUOTES}"
            )
        run: Callable[[Chat, str], str | None] = found[1]
        return run(self, argument.strip())

    def help(self, _: str) -> None:
        """Print the commands of the chat, each with what it does."""
        for name, (usage, _run, meaning) in COMMANDS.items():
            say(f"{f'{name} {usage}'.strip():<22}  {meaning}")
        say(f"{f'{QUOTES} … {QUOTES}':<22}  a text of several lines")
        say(f"{'Ctrl-C':<22}  stop an answer; twice at an empty prompt, or Ctrl-D: leave")

    def leave(self, _: str) -> None:
        """End the chat, as Ctrl-D does."""
        raise LeaveError

    def reset(self, _: str) -> None:
        """Forget what was said; the system prompt and the settings stay."""
        said = len(self.turns)
        self.turns, self.last, self.attempt, self.is_answered = [], "", 0, False
        say(f"forgot {said} turn{'s'[: said != 1]}" + ("; the system prompt stays" if self.system else ""))

    def set(self, argument: str) -> None:
        """Change an option of decoding or the seed, or show them all."""
        if not argument:
            for name, value in {**self.chosen, "seed": self.seed}.items():
                say(f"{name:<16}{_default(self, name) if value is None else as_text(value)}")
            return
        name, _, text = argument.partition(" ")
        name, text = name.removeprefix("--").replace("-", "_"), text.strip()
        if name not in (*self.chosen, "seed"):
            raise UserError(f"/set: unknown option '{shorten(name, 40)}'; {did_you_mean(name, [*self.chosen, 'seed'])}")
        if not text:
            value = self.seed if name == "seed" else self.chosen[name]
            say(f"{name:<16}{_default(self, name) if value is None else as_text(value)}")
            return
        value = _value(name, text)
        if name == "seed":
            self.seed = value
        else:
            try:
                self.choose({**self.chosen, **_without_rivals(name, value), name: value})
            except UserError as error:
                said = str(error).removeprefix(": ")
                option = f"--{name.replace('_', '-')}"
                raise UserError(said.replace(option, f"/set {name}", 1)) from None
        say(f"{name} is {_default(self, name) if value is None else as_text(value)}")

    def set_system(self, argument: str) -> None:
        """Set the system prompt, or show it."""
        if not argument:
            say(f"system: {self.system or 'none'}")
            return
        if not self.has_template:
            raise UserError(
                "/system: expected a model with a chat template, found one without; write it into the prompt"
            )
        self.system = "" if argument in ('""', "''") else argument
        say("the system prompt is set; what was said stays (/reset forgets it)" if self.system else "no system prompt")

    def retry(self, _: str) -> str:
        """Return the last text, to be answered anew with other random numbers."""
        if not self.last:
            raise UserError("/retry: expected an answer to give again, found none; write something first")
        if self.is_answered:
            self.turns = self.turns[:-2]
        self.attempt += 1
        proposal = self.decoder.resolve(**self.lm.decoding).proposal
        if self.is_answered and not getattr(getattr(proposal, "inner", proposal), "temperature", 0):
            say("note: at temperature 0 an answer stays the same; /set temperature 0.7 draws others")
        return self.last

    def save(self, argument: str) -> None:
        """Append the chat to a file, as a row that ``unmask sft`` reads."""
        file = _file("/save", argument)
        if not self.turns:
            raise UserError("/save: expected a chat with an answer, found none; write something first")
        rows = [{"messages": self.messages}] if self.has_template else _pairs(self.turns)
        try:
            before = file.read_bytes() if file.exists() else b""
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as opened:
                opened.write("\n" if before and not before.endswith(b"\n") else "")
                opened.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        except OSError as error:
            raise UserError(f"/save {file}: cannot be written ({error.strerror}); choose another") from error
        what = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
        say(f"{what} {'added to' if before else 'written to'} {file}; unmask sft reads it as data.path")

    def load(self, argument: str) -> None:
        """Go on with the chat in the last row of a file."""
        from unmask.data.messages import turns
        from unmask.data.records import BadRow

        file = _file("/load", argument)
        if not self.has_template:
            raise UserError("/load: expected a model with a chat template, found one without; it knows no chats")
        check_file(file)
        *_, line = [line for line in read_text(file).split("\n") if line.strip()] or [""]
        try:
            row = json.loads(line)
            said = [dict(turn) for turn in turns(row["messages"], "messages")]
        except (ValueError, TypeError, KeyError, RecursionError, BadRow):
            raise UserError(f"/load {file}: expected a chat under 'messages' in the last line, found none") from None
        system = said[0]["content"] if said and said[0]["role"] == "system" else ""
        said = said[1:] if system else said
        if not said or said[-1]["role"] != "assistant":
            raise UserError(f"/load {file}: expected a chat that ends with an answer, found one that does not")
        self.system, self.turns, self.last, self.attempt = system, said, "", 0
        self.is_answered = False
        say(f"goes on after {len(said)} turns of {file}")

    def answered(self, text: str, answer: str) -> None:
        """Add a question and its answer to what was said."""
        self.is_answered = True
        self.turns += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]


COMMANDS: dict[str, tuple[str, Callable[[Chat, str], str | None], str]] = {
    "/set": ("[NAME VALUE]", Chat.set, "change how answers are decoded; alone: show all options; VALUE default: unset"),
    "/system": ("[TEXT]", Chat.set_system, 'set the system prompt, "" for none; alone: show it'),
    "/reset": ("", Chat.reset, "forget what was said"),
    "/retry": ("", Chat.retry, "answer the last text again, with other random numbers"),
    "/save": ("FILE", Chat.save, "append the chat to a .jsonl file, for unmask sft"),
    "/load": ("FILE", Chat.load, "go on with the chat in the last line of a .jsonl file"),
    "/help": ("", Chat.help, "show these lines"),
    "/exit": ("", Chat.leave, "leave"),
}
ALIASES = {"/bye": "/exit", "/quit": "/exit", "/?": "/help", "/clear": "/reset"}


def decoder_for(chosen: Mapping[str, Any], model: str) -> Decoder:
    """Return the decoder that options describe; without a selection, tokens of at least 0.9 are written together.

    Args:
        chosen: options of the decoder, None where nothing was written.
        model: its name, as the user wrote it.

    Returns:
        A ``Decoder``.
    """
    has_selection = any(chosen[name] is not None for name in ("threshold", "selection", "released"))
    return decoder_of(chosen if has_selection else {**chosen, "threshold": 0.9}, model=model)


def _value(name: str, text: str) -> Any:
    """Return the value that a text gives an option; None for ``default``."""
    kind = int if name == "seed" else _kind(name)
    if text in UNSET and name != "seed" and not (text == "none" and kind is str):
        return None
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true" or None
    elif kind is str:
        return text
    else:
        with contextlib.suppress(ValueError):
            return kind(text)
    unset = ", or default" if name != "seed" else ""
    raise UserError(f"/set {name}: expected {KINDS[kind]}{unset}, found '{shorten(text, 40)}'")


def _kind(name: str) -> type:
    """Return the type of an option of decoding."""
    annotation = inspect.signature(decoder_options).parameters[name].annotation
    found: type = next(kind for kind in get_args(get_args(annotation)[0]) if kind in KINDS)
    return found


def _without_rivals(name: str, value: object) -> dict[str, Any]:
    """Return the options that one more takes the place of: the short form of a component, and the component."""
    rivals = {"threshold": "selection", "selection": "threshold", "temperature": "proposal", "proposal": "temperature"}
    return {rivals[name]: None} if name in rivals and value is not None else {}


def _default(chat: Chat, name: str) -> str:
    """Return what holds for an option that nobody wrote."""
    if name == "max_new_tokens":
        return f"{chat.canvas} (default)"
    resolved = chat.decoder.resolve(**chat.lm.decoding)
    if name == "block_size":
        return f"{resolved.block_size} (default)"
    inner = {"temperature": resolved.proposal, "threshold": resolved.selection}.get(name)
    value = getattr(inner, name, None) if inner is not None else getattr(resolved, name, None)
    shown = getattr(value, "name", value)
    return f"{as_text(shown)} (default)" if shown is not None else "default"


def _file(command: str, argument: str) -> Path:
    if not argument.endswith(".jsonl"):
        found = f"'{shorten(argument, 60)}'" if argument else "none"
        raise UserError(f"{command}: expected a file that ends with .jsonl, found {found}; write {command} chats.jsonl")
    return Path(argument).expanduser()


def _pairs(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return a row for each prompt and its answer, of a model that knows no chats."""
    texts = [turn["content"] for turn in turns]
    return [{"prompt": prompt, "completion": answer} for prompt, answer in zip(texts[::2], texts[1::2], strict=True)]
