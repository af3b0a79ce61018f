"""The command ``unmask chat``."""

import sys
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import typer

from unmask.cli.opening import Step
from unmask.cli.options import Device, Model, Seed, decodes
from unmask.errors import UserError

if TYPE_CHECKING:
    from unmask.cli.chat_input import Typed
    from unmask.cli.chat_session import Chat


@decodes
def chat(
    model: Model,
    *,
    chosen: Mapping[str, Any],
    system: str = typer.Option("", help="A system prompt."),
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Talk with a model and watch it write. /help shows the commands; /exit or Ctrl-D ends the chat.

    Without --threshold, --selection or --released, every token is written whose confidence is at least 0.9.
    """
    from unmask.cli.chat_session import Chat, decoder_for
    from unmask.cli.opening import open_model
    from unmask.cli.present import say

    decoder_for(chosen, model)  # its mistakes, before the model is loaded
    session = Chat(open_model(model, device=device, live=True), model=model, chosen=chosen, system=system, seed=seed)
    if not session.has_template:
        say("note: the tokenizer has no chat template: every line is a prompt of its own")
        if system:
            say("note: the system prompt is not used, for a chat template would have to place it")
    _talk(session)


def _talk(session: "Chat") -> None:
    """Answer what the user types until the input ends or the user leaves."""
    from unmask.cli.chat_input import LineInterruptError, is_typed, read_typed
    from unmask.cli.chat_session import LeaveError
    from unmask.cli.present import say

    if is_typed():
        say("/help shows the commands")
    was_empty = False  # whether the last thing that the user did was Ctrl-C at an empty prompt
    while True:
        try:
            typed = read_typed()
            was_empty = False
            if typed is None:
                return
            _do(session, typed)
        except LineInterruptError as interrupted:
            say("")
            if not is_typed() or (was_empty and interrupted.is_empty):
                return
            was_empty = interrupted.is_empty
            if was_empty:
                say("Ctrl-C again, Ctrl-D or /exit leaves the chat")
        except LeaveError:
            return


def _do(session: "Chat", typed: "Typed") -> None:
    """Do what a command says, or answer a text; on a terminal, mistakes and Ctrl-C are told and do not end the chat."""
    from unmask.cli.chat_input import is_typed
    from unmask.cli.chat_session import LeaveError
    from unmask.cli.present import say

    try:
        text = session.command(typed.text) or "" if typed.is_command else typed.text
        session.attempt = session.attempt if typed.is_command else 0
        if text:
            _answer(session, text)
    except KeyboardInterrupt:
        if not is_typed():
            raise LeaveError from None
        say("stopped; the chat goes on as if this had not been said (/retry answers it)")
    except UserError as error:
        if not is_typed():
            raise
        for problem in getattr(error, "problems", [str(error)]):
            say(f"error: {problem.removeprefix(': ')}")


def _answer(session: "Chat", text: str) -> None:
    """Decode an answer, show it, and remember both; where Ctrl-C stops it, neither is remembered."""
    from unmask.evaluate.api import sample_seed
    from unmask.generate import resolve_decoder, stream
    from unmask.plots.terminal import watch

    lm, state = session.lm, None
    session.last, session.is_answered = text, False
    history = [*session.messages, {"role": "user", "content": text}]
    search = resolve_decoder(lm, session.decoder).search
    steps = stream(
        lm,
        history if session.has_template else text,
        decoder=session.decoder,
        max_new_tokens=session.canvas,
        seed=sample_seed(session.seed + len(history), session.attempt),
    )
    with closing(cast("Generator[Step, None, None]", watch(steps, lm))) as shown:
        for step in shown:
            state = step.state
    answer = ""
    if state is not None:
        answer = _shown(session, state, int(search.best(state, lm.eos_ids)[0]), is_in_view=search.particles == 1)
    session.answered(text, answer)


def _shown(session: "Chat", state: Any, row: int, *, is_in_view: bool) -> str:
    """Print the text of an answer, and why it is empty if it is; return the text."""
    from unmask.cli.present import say
    from unmask.generate import canvases
    from unmask.generate.empty import why_empty
    from unmask.generate.text import finish_of, read_answer

    tokens, text = read_answer(session.lm, canvases(state.batch, state.ids)[row])
    if not is_in_view or not sys.stderr.isatty():  # else the last frame of the live view is the answer
        typer.echo(text)
    finish = finish_of(session.lm, tokens, is_stuck=bool(state.is_stuck[row]))
    if reason := why_empty(session.lm, tokens, text, finish=finish, canvas=session.canvas):
        say(f"note: the answer is empty: {reason}")
    return text
