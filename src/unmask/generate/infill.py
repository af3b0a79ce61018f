"""Infilling: the text before the first blank is the prompt, the rest a canvas with given tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from unmask.core.batch import Batch, Example, lay_out
from unmask.data.fields import broken
from unmask.decoding import Decoder, ResolvedDecoder
from unmask.decoding.defaults import Never
from unmask.errors import UserError
from unmask.generate.api import Through, collect, resolve_decoder, run, unchanged
from unmask.generate.prompts import Seed, check_memory, row_keys, tokens_of
from unmask.generate.sampling import NotedDraws, checked
from unmask.generate.text import Generation, cut_at_end, spelled
from unmask.models import LoadedModel
from unmask.runtime.transformers_api import Tokenizer

BLANK = re.compile(r"_{3,}")
OPEN = -1  # a column of a blank, among token ids


@dataclass(frozen=True, kw_only=True)
class Infilling(Generation):
    """Result of ``infill``: ``texts`` are whole, with their blanks filled; ``answers`` are the tokens of the blanks.

    Args:
        blanks: of each row, the text that fills each blank.
    """

    blanks: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Gapped:
    """A text with blanks as tokens.

    Args:
        given: the text before, between and after the blanks.
        prompt: tokens of the text before the first blank.
        canvas: blanks, as ``OPEN``, and the tokens of the text between and after them.
        spans: canvas offsets [begin, end) of each blank.
    """

    given: list[str]
    prompt: list[int]
    canvas: list[int]
    spans: list[tuple[int, int]]


def infill(
    lm: LoadedModel,
    texts: str | Sequence[str],
    *,
    blank_tokens: int | Sequence[int] = 16,
    decoder: Decoder | None = None,
    seed: Seed = 0,
    n: int = 1,
    compile: bool = False,  # noqa: A002  # as torch and transformers call it
    keep_steps: bool = False,
    through: Through = unchanged,
    **options: Any,
) -> Infilling:
    """Fill the blanks of texts: ``infill(lm, "one ___ three ___ five", blank_tokens=2)``.

    The text between and after blanks is given: it is read by a model that looks ahead, and never changes. A
    block-causal model reads only what stands in the same block or before. Blocks are counted from the first blank on.
    Every blank is filled, whatever the decoder's ``stop``; an end token inside a blank ends that blank's text, and what
    the model wrote after it in that blank is left out of the text.

    Args:
        lm: a loaded model with a tokenizer. Texts are not put into its chat template.
        texts: each with a blank, three or more underscores, or several.
        blank_tokens: how many tokens each blank has; one number for all, or one for each blank of every text.
        decoder: how the blanks are filled; default: LLaDA's sampler, one token a step, with the model's block size.
        seed: of the sampler, one for all texts or one for each; unused at temperature 0.
        n: samples of each text.
        compile: run the model through ``torch.compile``: the same tokens, after a minute or so of compiling.
        keep_steps: return every step in ``Infilling.steps``.
        through: what the steps pass through as they come: ``lambda steps: record(steps, lm, "trace.jsonl")``.
        **options: fields of ``Decoder`` in place of ``decoder``.

    Returns:
        Texts, blanks, tokens and costs, ``n`` rows for each text.

    Raises:
        UserError: a text without a blank, a blank without tokens, a text that spells the mask token.
    """
    if "stop" in options:
        raise UserError("stop: every blank of a text is filled; leave it out")
    resolved = replace(resolve_decoder(lm, decoder, options), stop=Never(), last_block="cut")
    gapped = [gap(lm, text, blank_tokens) for text in ([texts] if isinstance(texts, str) else texts)]
    if not gapped:
        raise UserError("no text: expected at least one with a blank, ___")
    batch, is_open = lay_out_gaps(lm, gapped, resolved, seed=seed, n=n)
    draws = NotedDraws(seed=0)  # the rows' own keys hold their seeds
    steps = run(lm, batch, resolved, draws=draws, is_open=is_open, compile=compile)
    found = collect(
        through(checked(steps, resolved, draws) if n * resolved.search.particles > 1 else steps),
        batch,
        resolved,
        eos_ids=lm.eos_ids,
        keep_steps=keep_steps,
    )
    texts_of_rows = [each for each in gapped for _ in range(n)]
    rows = [fill(lm, each, canvas) for each, canvas in zip(texts_of_rows, found.canvases, strict=True)]
    return Infilling(
        texts=[text for text, _, _ in rows],
        blanks=[blanks for _, blanks, _ in rows],
        answers=[answer for _, _, answer in rows],
        sequences=found.sequences,
        forwards=found.forwards,
        row_forwards=found.row_forwards,
        is_stuck=found.is_stuck,
        steps=found.steps,
        n=n,
    )


def gap(lm: LoadedModel, text: str, blank_tokens: int | Sequence[int] = 16) -> Gapped:
    """Return a text with blanks as tokens.

    Args:
        lm: the model; its tokenizer is used.
        text: with one or more blanks of three or more underscores.
        blank_tokens: how many tokens each blank has; one number for all, or one for each.

    Returns:
        The tokens of the text and the positions of its blanks.

    Raises:
        UserError: the text has no blank, spells the mask token or cannot be tokenised; the numbers do not fit.
    """
    if lm.tokenizer is None:
        raise UserError("text with blanks: the model has no tokenizer; load one that has")
    if not isinstance(text, str):
        raise UserError(f"text: expected a string with a blank, ___, found {str(text)[:60]!r}")
    if detail := broken(text):
        raise UserError(f"text: {detail}")
    given = BLANK.split(text)
    if len(given) == 1:
        raise UserError(
            f"text: expected a blank, three or more underscores, found none in {text[:60]!r}; write for example "
            "'a ___ b'"
        )
    widths = _widths(blank_tokens, len(given) - 1)
    prompt = tokens_of(lm, given[0], chat=False)
    if lm.facts.shift and not prompt:
        raise UserError("text: a model with shifted logits needs at least one token before the first blank, found none")
    canvas: list[int] = []
    spans = []
    for width, piece in zip(widths, given[1:], strict=True):
        spans.append((len(canvas), len(canvas) + width))
        canvas += [*[OPEN] * width, *_continued(lm.tokenizer, piece)]
    if lm.mask_id in (*prompt, *canvas):
        name = lm.tokenizer.convert_ids_to_tokens(lm.mask_id)
        raise UserError(f"text: expected blanks as ___, found the mask token '{name}'; write ___ in its place")
    return Gapped(given=given, prompt=prompt, canvas=canvas, spans=spans)


def _widths(blank_tokens: int | Sequence[int], blanks: int) -> list[int]:
    widths = [int(blank_tokens)] * blanks if isinstance(blank_tokens, (int, Integral)) else list(blank_tokens)
    if len(widths) != blanks:
        raise UserError(
            f"blank_tokens: expected one number, or one for each of the text's {blanks} blanks, found {len(widths)}"
        )
    for width in widths:
        if width < 1:
            raise UserError(f"blank_tokens: expected at least 1 token in each blank, found {width}")
    return widths


def _continued(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the tokens of text that continues other text: alone, SentencePiece would put a space before it."""
    before, joint = tokenizer(["\n", "\n" + text], add_special_tokens=False)["input_ids"]
    alone: list[int] = tokenizer([text], add_special_tokens=False)["input_ids"][0]
    return joint[len(before) :] if joint[: len(before)] == before else alone


def lay_out_gaps(
    lm: LoadedModel, texts: Sequence[Gapped], resolved: ResolvedDecoder, *, seed: Seed = 0, n: int = 1
) -> tuple[Batch, Tensor]:
    """Return a batch of texts, the samples of a text side by side.

    Args:
        lm: the model.
        texts: as tokens.
        resolved: its block size and search lay the rows out.
        seed: of all texts, or one for each.
        n: samples of each text.

    Returns:
        The batch, with filler in the blanks, and whether each column belongs to a blank, [B, L].
    """
    particles = resolved.search.particles
    known = [[*each.prompt, *each.canvas] for each in texts]
    rows = [each for each in texts for _ in range(n * particles)]
    filled = [[lm.filler_id if token == OPEN else token for token in each.canvas] for each in rows]
    examples = [
        Example(prompt=each.prompt, answer=answer, order=key, canvas=len(answer))
        for each, answer, key in zip(rows, filled, row_keys(known, seed, n, particles), strict=True)
    ]
    queried = min(resolved.block_size, max(each.canvas for each in examples))
    check_memory(
        lm, rows=len(rows), particles=particles, columns=max(each.columns for each in examples), queried=queried
    )
    batch = lay_out(examples, block_size=resolved.block_size, filler_id=lm.filler_id)
    is_open = torch.zeros_like(batch.ids, dtype=torch.bool)
    for row, each in enumerate(rows):
        is_blank = torch.tensor(each.canvas) == OPEN
        is_open[row, len(each.prompt) : len(each.prompt) + len(is_blank)] = is_blank
    return batch.to(lm.device), is_open.to(lm.device)


def fill(lm: LoadedModel, gapped: Gapped, canvas: Tensor) -> tuple[str, list[str], Tensor]:
    """Return a text with its blanks filled.

    Args:
        lm: the model; its tokenizer is used.
        gapped: the text with blanks.
        canvas: tokens of its canvas after decoding.

    Returns:
        The whole text, the text of each blank, and the tokens of the blanks up to and with their end tokens.
    """
    text, blanks, answer = gapped.given[0], [], []
    for (begin, end), piece in zip(gapped.spans, gapped.given[1:], strict=True):
        found = cut_at_end(canvas[begin:end], lm.eos_ids)
        blanks.append(_spelled_after(lm, [*gapped.prompt, *canvas[:begin].tolist()], found.tolist()))
        answer.append(found)
        text += blanks[-1] + piece
    return text, blanks, torch.cat(answer)


def _spelled_after(lm: LoadedModel, before: Sequence[int], ids: Sequence[int]) -> str:
    """Return the text of tokens that follow others: some tokenizers drop the space before a text's first word."""
    head, whole = spelled(lm, before), spelled(lm, [*before, *ids])
    return whole[len(head) :] if whole.startswith(head) else spelled(lm, ids)
