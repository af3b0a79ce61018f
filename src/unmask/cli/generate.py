"""``unmask generate``."""

from typing import Annotated

import typer

from unmask.cli.options import (
    BlockSize,
    Device,
    Json,
    MaxNewTokens,
    Model,
    Seed,
    Steps,
    Temperature,
    Threshold,
)


def generate(
    model: Model,
    prompt: Annotated[list[str], typer.Option(help="What to answer; may be given several times.")],
    max_new_tokens: MaxNewTokens = 256,
    block_size: BlockSize = None,
    steps: Steps = None,
    threshold: Threshold = None,
    temperature: Temperature = 0.0,
    raw: Annotated[bool, typer.Option("--raw", help="Do not put prompts into the chat template.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Watch the answer being denoised.")] = False,
    seed: Seed = 0,
    device: Device = None,
    json: Json = False,
) -> None:
    """Answer prompts, block by block."""
    from unmask import generate as run
    from unmask.cli.decoding import decoder_fields
    from unmask.cli.present import emit
    from unmask.decoding import Decoder
    from unmask.errors import UserError
    from unmask.models import load
    from unmask.quiet import quiet
    from unmask.recipe import resolve_path

    if live and (json or len(prompt) > 1):
        raise UserError("--live: expected one prompt and no --json; leave one out")
    quiet()
    lm = load(str(resolve_path(model)), device=device)
    fields = decoder_fields(block_size=block_size, steps=steps, threshold=threshold, temperature=temperature)
    options = {"decoder": Decoder(**fields), "max_new_tokens": max_new_tokens, "seed": seed}
    options["chat"] = False if raw else None
    if live:
        from unmask.generate import stream
        from unmask.plots.terminal import watch

        for _ in watch(stream(lm, prompt[0], **options), lm.tokenizer, title=prompt[0]):
            pass
        return
    out = run(lm, prompt, **options)
    if json:
        values = {"texts": out.texts, "forwards": out.forwards, "tokens_per_forward": round(out.tokens_per_forward, 3)}
        emit({**values, "tokens": [len(answer) for answer in out.answers]})
        return
    for text in out.texts:
        typer.echo(text)
