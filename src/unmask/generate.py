"""Text in, text out, or a stream of steps: decoding for people who have strings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from unmask.canvas import Batch, Example, lay_out
from unmask.data import prompt_ids
from unmask.decoding import Decoder, Parts, State, Step, decode
from unmask.errors import UserError
from unmask.models import LoadedModel
from unmask.seeds import Draws

Prompt = str | Sequence[dict[str, str]] | Sequence[int] | Tensor


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What ``generate`` returns.

    Args:
        texts: answers up to the end of text, without special tokens.
        answers: answer tokens of each row, up to and with the first end token.
        sequences: prompt plus canvas of each row.
        forwards: calls of the model for the whole batch.
        row_forwards: forwards that read each row.
        steps: the trace, if it was kept.
    """

    texts: list[str]
    answers: list[Tensor]
    sequences: list[Tensor]
    forwards: int
    row_forwards: list[int]
    steps: list[Step] = field(default_factory=list)

    @property
    def tokens_per_forward(self) -> float:
        """Answer tokens (up to and with the end token) for each forward that read their row."""
        return sum(len(answer) for answer in self.answers) / max(sum(self.row_forwards), 1)


def generate(
    lm: LoadedModel,
    prompts: Prompt | Sequence[Prompt],
    *,
    decoder: Decoder | None = None,
    max_new_tokens: int = 256,
    seed: int = 0,
    chat: bool | None = None,
    keep_steps: bool = False,
    **options: Any,
) -> Generation:
    """Answer a batch of prompts.

    Args:
        lm: a loaded model.
        prompts: strings, lists of chat messages, lists of token ids of any lengths, or ``LongTensor[B, P]``.
        decoder: how the canvas is filled; default: LLaDA's sampler, one token a step, with the model's block size.
        max_new_tokens: columns of the canvas.
        seed: of the sampler; unused at temperature 0.
        chat: put strings into the chat template; default: if the tokenizer has one.
        keep_steps: keep the trace.
        options: fields of ``Decoder`` in place of ``decoder``: ``steps=64``, ``threshold=0.9``, ``stop="never"``.
    """
    batch = prepare(lm, _as_list(prompts), max_new_tokens, _size(lm, decoder, options), chat=chat)
    kept: list[Step] = []
    row_forwards = torch.zeros(len(batch.order), dtype=torch.int64)
    forwards, ids = 0, batch.ids
    for step in run(lm, batch, decoder, seed=seed, **options):
        forwards, ids = forwards + 1, step.state.ids
        row_forwards[step.live.cpu()] += 1
        if keep_steps:
            kept.append(step)
    answers = [_cut(row, lm.eos_ids) for row in canvases(batch, ids)]
    return Generation(
        texts=[decode_text(lm, answer) for answer in answers],
        answers=answers,
        sequences=[ids[row][batch.owner[row] >= 0].cpu() for row in range(len(batch.order))],
        forwards=forwards,
        row_forwards=row_forwards.tolist(),
        steps=kept,
    )


def stream(
    lm: LoadedModel,
    prompt: Prompt,
    *,
    decoder: Decoder | None = None,
    max_new_tokens: int = 256,
    seed: int = 0,
    chat: bool | None = None,
    **options: Any,
) -> Iterator[Step]:
    """Answer one prompt, yielding a ``Step`` for every forward. Arguments as for ``generate``."""
    batch = prepare(lm, [prompt], max_new_tokens, _size(lm, decoder, options), chat=chat)
    yield from run(lm, batch, decoder, seed=seed, **options)


@torch.inference_mode()
def run(
    lm: LoadedModel, batch: Batch, decoder: Decoder | None = None, *, seed: int = 0, **options: Any
) -> Iterator[Step]:
    """Decode a prepared batch in evaluation mode."""
    was_training = lm.model.training
    lm.model.eval()
    try:
        yield from decode(lm, batch, _with_line_breaks(lm, _parts(lm, decoder, options)), draws=Draws(seed=seed))
    finally:
        lm.model.train(was_training)


def prepare(
    lm: LoadedModel, prompts: Sequence[Prompt], max_new_tokens: int, block_size: int, *, chat: bool | None = None
) -> Batch:
    """Tokenise prompts and lay them out with an empty canvas each."""
    if max_new_tokens < 1:
        raise UserError(f"max_new_tokens={max_new_tokens}: expected at least 1")
    rows = [_tokens(lm, prompt, chat) for prompt in prompts]
    if not rows:
        raise UserError("no prompt: expected at least one")
    if lm.facts.shift and not all(rows):
        raise UserError("empty prompt: a model with shifted logits needs at least one token before the answer")
    examples = [Example(prompt=ids, answer=(), order=row, canvas=max_new_tokens) for row, ids in enumerate(rows)]
    return lay_out(examples, block_size=block_size, filler_id=lm.filler_id).to(lm.device)


def canvases(batch: Batch, ids: Tensor) -> list[Tensor]:
    """Cut the canvas out of each row."""
    return [ids[row][batch.offset[row] >= 0].cpu() for row in range(len(batch.order))]


def answer_text(lm: LoadedModel, state: State, row: int = 0) -> str:
    """Return a row's answer up to the end of text."""
    return decode_text(lm, _cut(canvases(state.batch, state.ids)[row], lm.eos_ids))


def decode_text(lm: LoadedModel, ids: Tensor) -> str:
    """Turn answer tokens into text, without special tokens."""
    return "" if lm.tokenizer is None else lm.tokenizer.decode(ids.tolist(), skip_special_tokens=True)


def _parts(lm: LoadedModel, decoder: Decoder | None, options: dict[str, Any]) -> Parts:
    if decoder is not None and options:
        raise UserError(f"give either decoder=… or its fields {sorted(options)}, not both")
    return (decoder or Decoder(**options)).parts(
        trained_block_size=lm.facts.block_size, heads=lm.heads, exact_cache=lm.exact_cache
    )


def _with_line_breaks(lm: LoadedModel, parts: Parts) -> Parts:
    """Tell a block rule that ends blocks at delimiters, but names none, the tokens with a line break in them."""
    if getattr(parts.blocks, "delimiters", ()) is not None:
        return parts
    tokens = [] if lm.tokenizer is None else lm.tokenizer.batch_decode([[token] for token in range(lm.vocab_size)])
    found = tuple(token for token, text in enumerate(tokens) if "\n" in text)
    if not found:
        raise UserError(
            f"the block rule '{parts.blocks.name}': expected delimiters, found no token with a line break; write "
            "{name: " + parts.blocks.name + ", delimiters: [token ids]}"
        )
    return replace(parts, blocks=replace(parts.blocks, delimiters=found))


def _size(lm: LoadedModel, decoder: Decoder | None, options: dict[str, Any]) -> int:
    return _parts(lm, decoder, options).block_size


def _as_list(prompts: Any) -> list[Prompt]:
    """Tell one prompt from several."""
    if isinstance(prompts, str):
        return [prompts]
    if isinstance(prompts, Tensor):
        return list(prompts if prompts.ndim == 2 else prompts[None])
    if not isinstance(prompts, Sequence):
        raise _no_prompt(prompts)
    is_one = bool(prompts) and isinstance(prompts[0], (dict, Integral))
    return [prompts] if is_one else list(prompts)  # type: ignore[list-item]


def _tokens(lm: LoadedModel, prompt: Prompt, chat: bool | None) -> list[int]:
    """Return the ids of a prompt of any kind."""
    if isinstance(prompt, Tensor):
        if prompt.ndim != 1 or prompt.is_floating_point():
            raise _no_prompt(prompt)
        return _known(lm, prompt.tolist())
    if not isinstance(prompt, Sequence):
        raise _no_prompt(prompt)
    if not isinstance(prompt, str) and all(isinstance(token, Integral) for token in prompt):
        return _known(lm, prompt)
    if not isinstance(prompt, str) and not all(isinstance(message, dict) for message in prompt):
        raise _no_prompt(prompt)
    if lm.tokenizer is None:
        raise UserError("text prompt: the model has no tokenizer; give token ids")
    return list(prompt_ids(lm.tokenizer, prompt, chat=chat))


def _known(lm: LoadedModel, ids: Sequence[Any]) -> list[int]:
    """Refuse ids that the embedding does not have: a GPU would fail far from here."""
    for token in ids:
        if not 0 <= token < lm.vocab_size:
            raise UserError(f"prompt: expected token ids from 0 to {lm.vocab_size - 1}, found {token}")
    return [int(token) for token in ids]


def _no_prompt(found: Any) -> UserError:
    return UserError(f"prompt: expected text, chat messages or token ids, found {str(found)[:60]!r}")


def _cut(canvas: Tensor, eos_ids: Sequence[int]) -> Tensor:
    """Keep tokens up to and with the first end token."""
    ends = torch.isin(canvas, torch.tensor(list(eos_ids))).nonzero()
    return canvas[: int(ends[0]) + 1] if len(ends) else canvas
