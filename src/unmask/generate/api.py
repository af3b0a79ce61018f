"""``generate`` and ``stream``: from prompts to answers, or to steps."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unmask.config.defaults import resolve_canvas
from unmask.constraints.compile import bind, constraint_of
from unmask.core.batch import Batch
from unmask.core.random import Draws
from unmask.decoding import Decoder, ResolvedDecoder, Step, decode
from unmask.decoding.defaults import Unconstrained
from unmask.errors import UserError
from unmask.generate.delimiters import with_line_breaks
from unmask.generate.prompts import Prompt, Seed, as_list, prepare
from unmask.generate.sampling import NotedDraws, checked
from unmask.generate.stop_strings import StopAtText, check_strings
from unmask.generate.streaming import Streamer, feed
from unmask.generate.text import Generation, finish_of, read_answer
from unmask.models import LoadedModel

Through = Callable[[Iterator[Step]], Iterable[Step]]


def unchanged(steps: Iterator[Step]) -> Iterator[Step]:
    """Return the steps as they are."""
    return steps


def generate(
    lm: LoadedModel,
    prompts: Prompt | Sequence[Prompt],
    *,
    decoder: Decoder | None = None,
    max_new_tokens: int | None = None,
    seed: Seed = 0,
    n: int = 1,
    chat: bool | None = None,
    stop_strings: Sequence[str] | str = (),
    regex: str | None = None,
    json_schema: dict[str, Any] | str | None = None,
    streamer: Streamer | None = None,
    compile: bool = False,  # noqa: A002  # as torch and transformers call it
    keep_steps: bool = False,
    through: Through = unchanged,
    **options: Any,
) -> Generation:
    """Decode answers to a batch of prompts.

    Args:
        lm: a loaded model.
        prompts: strings, lists of chat messages, lists of token ids of any lengths, or ``LongTensor[B, P]``. A mask
            token in a prompt is a token like any other: it is read as it is and never overwritten.
        decoder: how the canvas is filled; default: LLaDA's sampler, one token a step, with the model's block size.
        max_new_tokens: columns of the answer; default: those of the canvas that the model was trained for, else 256.
        seed: of the sampler, one for all prompts or one for each; unused at temperature 0. What is sampled for a prompt
            depends on the prompt and its seed, not on the other prompts of the batch.
        n: samples of each prompt.
        chat: put strings into the chat template; default: if the tokenizer has one.
        stop_strings: a row ends with the block that completes one of them; its text ends before the first.
        regex: the whole answer matches this pattern (see the constraint ``regex``).
        json_schema: the whole answer is JSON of this schema, a mapping or JSON.
        streamer: a transformers streamer, for one prompt: gets the prompt, drafts of the active block if it has
            ``put_draft`` (``TextDiffusionStreamer``), and finished blocks.
        compile: run the model through ``torch.compile``: the same tokens, after a minute or so of compiling.
        keep_steps: return every step in ``Generation.steps``.
        through: what the steps pass through as they come: ``lambda steps: record(steps, lm, "trace.jsonl")``.
        **options: fields of ``Decoder`` in place of ``decoder``: ``steps=64``, ``threshold=0.9``, ``stop="never"``.

    Returns:
        Texts, tokens and costs, ``n`` rows for each prompt.

    Raises:
        UserError: something that cannot be decoded; ``n`` above 1 with a decoder that draws no random numbers.
    """  # noqa: DOC502
    strings = () if stop_strings == () else check_strings(lm, stop_strings)
    resolved = resolve_decoder(lm, decoder, options, strings, regex=regex, json_schema=json_schema)
    canvas = resolve_canvas(given=max_new_tokens, model=lm.facts.canvas)
    batch = prepare(lm, as_list(prompts), canvas, resolved, chat=chat, seed=seed, n=n)
    draws = NotedDraws(seed=0)  # the rows' own keys hold their seeds
    steps = run(lm, batch, resolved, draws=draws, compile=compile)
    if streamer is not None:
        steps = feed(steps, streamer, lm, batch, strings)
    passed = through(checked(steps, resolved, draws) if n * resolved.search.particles > 1 else steps)
    found = collect(passed, batch, resolved, eos_ids=lm.eos_ids, keep_steps=keep_steps)
    read = [read_answer(lm, canvas, strings) for canvas in found.canvases]
    return Generation(
        texts=[text for _, text in read],
        answers=[answer for answer, _ in read],
        sequences=found.sequences,
        forwards=found.forwards,
        row_forwards=found.row_forwards,
        is_stuck=found.is_stuck,
        finish=[finish_of(lm, a, strings, is_stuck=s) for (a, _), s in zip(read, found.is_stuck, strict=True)],
        steps=found.steps,
        n=n,
    )


def stream(
    lm: LoadedModel,
    prompt: Prompt,
    *,
    decoder: Decoder | None = None,
    max_new_tokens: int | None = None,
    seed: int = 0,
    chat: bool | None = None,
    stop_strings: Sequence[str] | str = (),
    regex: str | None = None,
    json_schema: dict[str, Any] | str | None = None,
    compile: bool = False,  # noqa: A002  # as torch and transformers call it
    **options: Any,
) -> Iterator[Step]:
    """Decode an answer to one prompt, yielding a ``Step`` after every forward. Arguments as for ``generate``."""
    strings = () if stop_strings == () else check_strings(lm, stop_strings)
    resolved = resolve_decoder(lm, decoder, options, strings, regex=regex, json_schema=json_schema)
    canvas = resolve_canvas(given=max_new_tokens, model=lm.facts.canvas)
    batch = prepare(lm, [prompt], canvas, resolved, chat=chat, seed=seed)
    yield from run(lm, batch, resolved, draws=NotedDraws(seed=0), compile=compile)


@dataclass(frozen=True, kw_only=True)
class Collected:
    """The result of a run; of a prompt that a search decoded in several rows, the best row.

    Args:
        canvases: tokens of the canvas of each row, without what only completed its last block.
        sequences: prompt and canvas of each row, likewise.
        forwards: calls of the model.
        row_forwards: steps that read each row, or the rows that compete with it.
        is_stuck: whether each row ended because the constraint allowed no further token.
        steps: all steps, if ``keep_steps``.
    """

    canvases: list[Tensor]
    sequences: list[Tensor]
    forwards: int
    row_forwards: list[int]
    is_stuck: list[bool]
    steps: list[Step]


@torch.inference_mode()
def run(
    lm: LoadedModel,
    batch: Batch,
    resolved: ResolvedDecoder,
    *,
    draws: Draws,
    is_open: Tensor | None = None,
    compile: bool = False,  # noqa: A002  # as torch and transformers call it
) -> Iterator[Step]:
    """Decode a prepared batch in evaluation mode, yielding a step after every forward.

    ``is_open`` [B, L] are the canvas columns to write; default: all.
    """
    lm.warn_of_length(int((~batch.is_pad).sum(1).max()))
    was_training = lm.model.training
    lm.model.eval()
    try:
        # Dynamic shapes: one compilation serves every length of text and every number of rows.
        with lm.through(torch.compile(lm.model, dynamic=True)) if compile else nullcontext():
            yield from decode(lm, batch, resolved, draws=draws, is_open=is_open)
    finally:
        lm.model.train(was_training)


def collect(
    steps: Iterable[Step], batch: Batch, resolved: ResolvedDecoder, *, eos_ids: Sequence[int], keep_steps: bool
) -> Collected:
    """Decode to the end; return the best row of each prompt, what it cost, and the steps if they are kept."""
    kept: list[Step] = []
    rows = len(batch.order)
    row_forwards = torch.zeros(rows, dtype=torch.int64)
    forwards, state = 0, None
    for step in steps:
        forwards, state = forwards + step.forwards, step.state
        row_forwards[step.live.cpu()] += 1
        if keep_steps:
            kept.append(step)
    ids = batch.ids if state is None else state.ids
    best = (
        list(range(0, rows, resolved.search.particles))
        if state is None
        else resolved.search.best(state, eos_ids).tolist()
    )
    is_wanted = batch.is_wanted
    is_kept = is_wanted | (~batch.is_canvas & ~batch.is_pad)
    return Collected(
        canvases=[ids[row][is_wanted[row]].cpu() for row in best],
        sequences=[ids[row][is_kept[row]].cpu() for row in best],
        forwards=forwards,
        row_forwards=row_forwards.view(len(best), -1).sum(1).tolist(),
        is_stuck=[state is not None and bool(state.is_stuck[row]) for row in best],
        steps=kept,
    )


def resolve_decoder(
    lm: LoadedModel,
    decoder: Decoder | None = None,
    options: Mapping[str, Any] | None = None,
    stop_strings: Sequence[str] = (),
    *,
    regex: str | None = None,
    json_schema: dict[str, Any] | str | None = None,
) -> ResolvedDecoder:
    """Return a decoder, or one of the fields ``options``, with its components chosen and bound for a model.

    ``regex`` and ``json_schema`` outrank the decoder's constraint.
    """
    options = options or {}
    if decoder is not None and options:
        raise UserError(f"give either decoder=… or its fields {sorted(options)}, not both")
    decoder = decoder or Decoder(**options)
    if (regex, json_schema) != (None, None) and (constraint := constraint_of(regex=regex, json_schema=json_schema)):
        decoder = replace(decoder, constraint=constraint)
    resolved = decoder.resolve(**lm.decoding)
    if getattr(resolved.blocks, "delimiters", ()) is None:
        resolved = with_line_breaks(lm, resolved)
    if not isinstance(resolved.constraint, Unconstrained):
        resolved = replace(resolved, constraint=bind(resolved.constraint, lm))
    if not stop_strings:
        return resolved
    return replace(resolved, stop=StopAtText(lm=lm, strings=tuple(stop_strings), other=resolved.stop))
