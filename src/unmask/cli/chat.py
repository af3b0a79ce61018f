"""The command ``unmask chat``."""

import sys
from collections.abc import Mapping
from typing import Any

import typer

from unmask.cli.options import Device, Model, Seed, decodes
from unmask.errors import UserError, not_utf8


@decodes
def chat(
    model: Model,
    *,
    chosen: Mapping[str, Any],
    system: str = typer.Option("", help="A system prompt."),
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Talk with a model and watch it write. An empty line, Ctrl-D or Ctrl-C ends the chat.

    Without --threshold or --selection, every token is written whose confidence is at least 0.9.
    """
    from unmask.cli.decoding import check_decoder, decoder_of
    from unmask.cli.opening import open_model
    from unmask.cli.present import say
    from unmask.config.defaults import resolve_canvas
    from unmask.generate import answer_text, resolve_decoder, stream
    from unmask.plots.terminal import watch

    has_selection = any(chosen[name] is not None for name in ("threshold", "selection", "released"))
    decoder = decoder_of(chosen if has_selection else {**chosen, "threshold": 0.9}, model=model)
    lm = open_model(model, device=device)
    canvas = resolve_canvas(given=chosen["max_new_tokens"], model=lm.facts.canvas)
    check_decoder(decoder, lm, canvas)
    search = resolve_decoder(lm, decoder).search
    has_template = bool(getattr(lm.tokenizer, "chat_template", None))
    if not has_template:
        say("note: the tokenizer has no chat template: every line is a prompt of its own")
    history = [{"role": "system", "content": system}] if system else []
    try:
        while line := _ask():
            history.append({"role": "user", "content": line})
            options: dict[str, Any] = {"decoder": decoder, "max_new_tokens": canvas, "seed": seed + len(history)}
            state = None
            for step in watch(stream(lm, history if has_template else line, **options), lm):
                state = step.state
            text = "" if state is None else answer_text(lm, state, int(search.best(state, lm.eos_ids)[0]))
            if search.particles > 1 or not sys.stderr.isatty():  # else the last frame of the live view is the answer
                typer.echo(text)
            history.append({"role": "assistant", "content": text})
    except KeyboardInterrupt:
        say("")


def _ask() -> str:
    """Return a line that the user types; empty at the end of the input."""
    try:
        sys.stderr.write("> ")
        sys.stderr.flush()
        return input().strip()
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        raise UserError(f"stdin: expected UTF-8 text, found {not_utf8(error)}; convert it") from None
