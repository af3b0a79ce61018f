"""``unmask generate``."""

import sys
from typing import Annotated, Any

import typer

from unmask.cli.options import (
    Blocks,
    BlockSize,
    Device,
    Json,
    MaxNewTokens,
    Model,
    Proposal,
    Revision,
    Seed,
    Selection,
    Steps,
    Temperature,
    Threshold,
    View,
)


def generate(
    model: Model,
    prompt: Annotated[list[str], typer.Option(help="What to answer; may be given several times; - reads stdin.")],
    max_new_tokens: MaxNewTokens = 256,
    block_size: BlockSize = None,
    steps: Steps = None,
    threshold: Threshold = None,
    temperature: Temperature = 0.0,
    selection: Selection = None,
    blocks: Blocks = None,
    proposal: Proposal = None,
    revision: Revision = None,
    view: View = None,
    raw: Annotated[bool, typer.Option("--raw", help="Do not put prompts into the chat template.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Watch the answer being denoised.")] = False,
    seed: Seed = 0,
    device: Device = None,
    json: Json = False,
) -> None:
    """Answer prompts, block by block."""
    from unmask import generate as run
    from unmask.cli.decoding import check_decoder, decoder_of
    from unmask.cli.opening import open_model
    from unmask.cli.present import emit
    from unmask.errors import UserError

    if live and (json or len(prompt) > 1):
        raise UserError("--live: expected one --prompt and no --json; leave one out")
    decoder = decoder_of(
        block_size=block_size, steps=steps, threshold=threshold, temperature=temperature,
        max_new_tokens=max_new_tokens, selection=selection, blocks=blocks, proposal=proposal, revision=revision,
        view=view,
    )  # fmt: skip
    prompts = [sys.stdin.read().rstrip("\n") if text == "-" else text for text in prompt]
    lm = open_model(model, device=device)
    check_decoder(decoder, lm, max_new_tokens)
    chat = False if raw else None
    options = {"decoder": decoder, "max_new_tokens": max_new_tokens, "seed": seed, "chat": chat}
    if live:
        typer.echo(_watched(lm, prompts[0], options))
        return
    out = run(lm, prompts, **options)
    if json:
        values = {"texts": out.texts, "forwards": out.forwards, "tokens_per_forward": round(out.tokens_per_forward, 3)}
        emit({**values, "tokens": [len(answer) for answer in out.answers]})
        return
    for text in out.texts:
        typer.echo(text)


def _watched(lm: Any, prompt: str, options: dict[str, Any]) -> str:
    """Draw the denoising on stderr and return the answer."""
    from unmask.generate import answer_text, stream
    from unmask.plots.terminal import watch

    state = None
    for step in watch(stream(lm, prompt, **options), lm, title=prompt):
        state = step.state
    return answer_text(lm, state) if state is not None else ""
