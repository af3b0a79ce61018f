"""``unmask chat``."""

import sys
from typing import Annotated

import typer

from unmask.cli.options import (
    Blocks,
    BlockSize,
    Cache,
    Device,
    MaxNewTokens,
    Model,
    Proposal,
    Revision,
    Seed,
    Selection,
    Temperature,
    View,
)
from unmask.errors import UserError, not_utf8


def chat(
    model: Model,
    max_new_tokens: MaxNewTokens = 256,
    block_size: BlockSize = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Write every token at least this sure, at least one a step (default: 0.9, or --selection)."),
    ] = None,
    temperature: Temperature = 0.0,
    selection: Selection = None,
    blocks: Blocks = None,
    proposal: Proposal = None,
    revision: Revision = None,
    view: View = None,
    cache: Cache = None,
    system: str = typer.Option("", help="A system prompt."),
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Talk with a model and watch it write. An empty line, Ctrl-D or Ctrl-C ends the chat."""
    from unmask.cli.decoding import check_decoder, decoder_of
    from unmask.cli.opening import open_model
    from unmask.cli.present import say
    from unmask.generate import answer_text, stream
    from unmask.plots.terminal import watch

    if threshold is None and selection is None:
        threshold = 0.9
    decoder = decoder_of(
        block_size=block_size, threshold=threshold, temperature=temperature, max_new_tokens=max_new_tokens,
        selection=selection, blocks=blocks, proposal=proposal, revision=revision, view=view, cache=cache,
    )  # fmt: skip
    lm = open_model(model, device=device)
    check_decoder(decoder, lm, max_new_tokens)
    has_template = bool(getattr(lm.tokenizer, "chat_template", None))
    if not has_template:
        say("note: the tokenizer has no chat template: every line is a prompt of its own")
    history = [{"role": "system", "content": system}] if system else []
    try:
        while line := _ask():
            history.append({"role": "user", "content": line})
            options = {"decoder": decoder, "max_new_tokens": max_new_tokens, "seed": seed + len(history)}
            state = None
            for step in watch(stream(lm, history if has_template else line, **options), lm):
                state = step.state
            text = answer_text(lm, state) if state is not None else ""
            if not sys.stderr.isatty():  # on a terminal the last frame of the live view is the answer
                typer.echo(text)
            history.append({"role": "assistant", "content": text})
    except KeyboardInterrupt:
        say("")


def _ask() -> str:
    """Read a line; the end of the input is an empty one."""
    try:
        sys.stderr.write("> ")
        sys.stderr.flush()
        return input().strip()
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        raise UserError(f"stdin: expected UTF-8 text, found {not_utf8(error)}; convert it") from None
