"""Prompts of every kind to rows with an empty canvas each."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from torch import Tensor

from unmask.canvas import Batch, Example, lay_out
from unmask.data import prompt_ids
from unmask.errors import UserError
from unmask.generate.room import check_room
from unmask.generate.seeding import Seed, row_keys
from unmask.models import LoadedModel

Prompt = str | Sequence[dict[str, str]] | Sequence[int] | Tensor


def prepare(
    lm: LoadedModel,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    block_size: int,
    *,
    chat: bool | None = None,
    seed: Seed = 0,
    n: int = 1,
    particles: int = 1,
) -> Batch:
    """Tokenise prompts and lay them out with an empty canvas each.

    Each prompt has ``n`` samples of ``particles`` rows, side by side.
    """
    if max_new_tokens < 1:
        raise UserError(f"max_new_tokens={max_new_tokens}: expected at least 1")
    rows = [tokens_of(lm, prompt, chat) for prompt in prompts]
    if not rows:
        raise UserError("no prompt: expected at least one")
    if lm.facts.shift and not all(rows):
        raise UserError("empty prompt: a model with shifted logits needs at least one token before the answer")
    check_room(
        lm, rows=len(rows) * n * particles, particles=particles, columns=max(map(len, rows)) + max_new_tokens,
        asked=min(block_size, max_new_tokens),
    )  # fmt: skip
    repeated = [ids for ids in rows for _ in range(n * particles)]
    examples = [
        Example(prompt=ids, answer=(), order=key, canvas=max_new_tokens)
        for ids, key in zip(repeated, row_keys(rows, seed, n, particles), strict=True)
    ]
    return lay_out(examples, block_size=block_size, filler_id=lm.filler_id).to(lm.device)


def as_list(prompts: Any) -> list[Prompt]:
    """Tell one prompt from several."""
    if isinstance(prompts, str):
        return [prompts]
    if isinstance(prompts, Tensor):
        return list(prompts if prompts.ndim == 2 else prompts[None])
    if not isinstance(prompts, Sequence):
        raise _no_prompt(prompts)
    is_one = bool(prompts) and isinstance(prompts[0], (dict, Integral))
    return [prompts] if is_one else list(prompts)  # type: ignore[list-item]


def tokens_of(lm: LoadedModel, prompt: Prompt, chat: bool | None) -> list[int]:
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
