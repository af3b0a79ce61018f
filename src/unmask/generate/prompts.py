"""Prompts of every kind as tokens, laid out with an empty canvas each.

The random numbers of a row belong to its text, its seed and its number among the samples: a sampled text does not
depend on the batch that it was decoded in. Two different prompts get independent numbers from one seed. The same prompt
given twice with one seed is answered twice in the same way: ``n`` asks for several samples.
"""

import hashlib
from collections.abc import Sequence
from numbers import Integral
from typing import Any, cast

from torch import Tensor

from unmask.core.batch import Batch, Example, lay_out
from unmask.data import prompt_ids
from unmask.decoding import ResolvedDecoder
from unmask.errors import UserError
from unmask.models import LoadedModel
from unmask.runtime.memory import STREAMS, free_memory

Prompt = str | Sequence[dict[str, str]] | Sequence[int] | Tensor
Seed = int | Sequence[int]


def prepare(
    lm: LoadedModel,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    resolved: ResolvedDecoder,
    *,
    chat: bool | None = None,
    seed: Seed = 0,
    n: int = 1,
) -> Batch:
    """Return a batch of prompts, each with an empty canvas of ``max_new_tokens`` columns.

    Each prompt has ``n`` samples of as many rows as the search has particles, side by side. Where the decoder fills the
    last block whole, each canvas is longer by what that takes after its prompt (``Batch.wanted_length``).
    """
    if max_new_tokens < 1:
        raise UserError(f"max_new_tokens={max_new_tokens}: expected at least 1")
    rows = [tokens_of(lm, prompt, chat) for prompt in prompts]
    if not rows:
        raise UserError("no prompt: expected at least one")
    if lm.facts.shift and not all(rows):
        raise UserError("empty prompt: a model with shifted logits needs at least one token before the answer")
    particles = resolved.search.particles
    surplus = [resolved.surplus(len(ids), max_new_tokens, lm.facts.grid, lm.facts.block_size) for ids in rows]
    check_memory(
        lm, rows=len(rows) * n * particles, particles=particles,
        columns=max(len(ids) + max_new_tokens + more for ids, more in zip(rows, surplus, strict=True)),
        queried=min(resolved.block_size, max_new_tokens),
    )  # fmt: skip
    repeated = [one for one in zip(rows, surplus, strict=True) for _ in range(n * particles)]
    examples = [
        Example(prompt=ids, answer=(), order=key, canvas=max_new_tokens + more, surplus=more)
        for (ids, more), key in zip(repeated, row_keys(rows, seed, n, particles), strict=True)
    ]
    return lay_out(examples, block_size=resolved.block_size, filler_id=lm.filler_id).to(lm.device)


def as_list(prompts: object) -> list[Prompt]:
    """Return a list of prompts, of one prompt too; a ``UserError`` if it is neither text, messages nor ids."""
    if isinstance(prompts, str):
        return [prompts]
    if isinstance(prompts, Tensor):
        return list(prompts if prompts.ndim == 2 else prompts[None])
    if not isinstance(prompts, Sequence):
        raise _no_prompt(prompts)
    is_one = bool(prompts) and isinstance(prompts[0], (dict, Integral))
    return [prompts] if is_one else list(prompts)


def tokens_of(lm: LoadedModel, prompt: Prompt, chat: bool | None) -> list[int]:
    """Return the token ids of a text, chat messages or ids; ``chat``: use the chat template, None if there is one."""
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
    return list(prompt_ids(lm.tokenizer, cast("str | Sequence[dict[str, str]]", prompt), chat=chat))


def _known(lm: LoadedModel, ids: Sequence[Any]) -> list[int]:
    """Return the ids as integers; a ``UserError`` if the embedding has no such row: a GPU would fail far from here."""
    for token in ids:
        if not 0 <= token < lm.vocab_size:
            raise UserError(f"prompt: expected token ids from 0 to {lm.vocab_size - 1}, found {token}")
    return [int(token) for token in ids]


def _no_prompt(found: object) -> UserError:
    return UserError(f"prompt: expected text, chat messages or token ids, found {str(found)[:60]!r}")


def row_keys(rows: Sequence[Sequence[int]], seed: Seed, n: int, particles: int = 1) -> list[int]:
    """Return the key of each row's random numbers, those of a text side by side.

    Args:
        rows: tokens of each text.
        seed: of all texts, or one for each.
        n: samples of each text.
        particles: rows of each sample.

    Returns:
        A key in [0, 2^63) for each row.

    Raises:
        UserError: ``n`` is below 1, or there are more or fewer seeds than texts.
    """
    if n < 1:
        raise UserError(f"n={n}: expected at least 1 sample of each prompt")
    seeds = [int(seed)] * len(rows) if isinstance(seed, Integral) else list(seed)  # type: ignore[arg-type]
    if len(seeds) != len(rows):
        raise UserError(f"seed: expected a number, or one for each of the {len(rows)} prompts, found {len(seeds)}")
    return [_key(ids, seed, sample) for ids, seed in zip(rows, seeds, strict=True) for sample in range(n * particles)]


def _key(ids: Sequence[int], seed: int, sample: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{sample}/{','.join(map(str, ids))}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1  # fits int64


_FLOAT32 = 4  # bytes


def check_memory(lm: LoadedModel, *, rows: int, particles: int, columns: int, queried: int) -> None:
    """Check that the least memory that a run needs is free.

    Args:
        lm: the model.
        rows: that are decoded side by side.
        particles: rows of each answer.
        columns: of the longest text.
        queried: columns of a block.

    Raises:
        UserError: it is not; names the rows, what they need and what is free.
    """
    config = lm.stock.config.get_text_config()
    item = next(lm.model.parameters()).element_size()
    need = rows * (columns * config.hidden_size * item * STREAMS + queried * lm.vocab_size * _FLOAT32)
    free = free_memory(lm.device)
    if free is None or need <= free:
        return
    what = f"{rows // particles} answers of {particles} particles" if particles > 1 else f"{rows} answers"
    raise UserError(
        f"memory: {what} at once need at least {need / 2**30:.1f} GiB beside the model, found {free / 2**30:.1f} GiB "
        f"free; decode at most {free * rows // need} rows at once"
    )
