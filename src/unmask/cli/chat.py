"""``unmask chat``."""

import typer

from unmask.cli.options import BlockSize, Device, MaxNewTokens, Model, Temperature, Threshold


def chat(
    model: Model,
    max_new_tokens: MaxNewTokens = 256,
    block_size: BlockSize = None,
    threshold: Threshold = 0.9,
    temperature: Temperature = 0.0,
    device: Device = None,
) -> None:
    """Talk with a model and watch it write. An empty line, or Ctrl-D, ends the chat."""
    from unmask.cli.decoding import decoder_fields
    from unmask.decoding import Decoder
    from unmask.generate import canvases, decode_text, stream
    from unmask.models import load
    from unmask.plots.terminal import watch
    from unmask.quiet import quiet
    from unmask.recipe import resolve_path

    quiet()
    lm = load(str(resolve_path(model)), device=device)
    decoder = Decoder(**decoder_fields(block_size=block_size, steps=None, threshold=threshold, temperature=temperature))
    has_template = bool(getattr(lm.tokenizer, "chat_template", None))
    history: list[dict[str, str]] = []
    while line := _ask():
        history.append({"role": "user", "content": line})
        prompt = history if has_template else line
        state = None
        for step in watch(stream(lm, prompt, decoder=decoder, max_new_tokens=max_new_tokens), lm.tokenizer):
            state = step.state
        text = decode_text(lm, canvases(state.batch, state.ids)[0]) if state else ""
        typer.echo(text)
        history.append({"role": "assistant", "content": text})


def _ask() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""
