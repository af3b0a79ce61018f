"""``generate`` and ``stream``."""

from collections.abc import Iterator, Sequence
from typing import Any

from unmask.constraint import constraint_of
from unmask.decoding import Decoder, Step
from unmask.generate.answers import Generation, read_answer
from unmask.generate.prompts import Prompt, as_list, prepare
from unmask.generate.runs import Through, collect, parts_of, run, unchanged
from unmask.generate.seeding import NotedDraws, Seed, checked
from unmask.generate.stops import check_strings
from unmask.generate.streaming import Streamer, feed
from unmask.models import LoadedModel


def generate(
    lm: LoadedModel,
    prompts: Prompt | Sequence[Prompt],
    *,
    decoder: Decoder | None = None,
    max_new_tokens: int = 256,
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
    """Answer a batch of prompts.

    Args:
        lm: a loaded model.
        prompts: strings, lists of chat messages, lists of token ids of any lengths, or ``LongTensor[B, P]``. A mask
            token in a prompt is a token like any other: it is read as it stands and never overwritten.
        decoder: how the canvas is filled; default: LLaDA's sampler, one token a step, with the model's block size.
        max_new_tokens: columns of the canvas.
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
        keep_steps: keep the trace.
        through: what the steps pass through as they come: ``lambda steps: record(steps, lm, "trace.jsonl")``.
        options: fields of ``Decoder`` in place of ``decoder``: ``steps=64``, ``threshold=0.9``, ``stop="never"``.

    Raises:
        UserError: something that cannot be decoded; ``n`` above 1 with a decoder that draws no random numbers.
    """
    strings = check_strings(lm, stop_strings)
    constraint = constraint_of(regex=regex, json_schema=json_schema)
    parts = parts_of(lm, decoder, options, strings, constraint=constraint)
    batch = prepare(
        lm, as_list(prompts), max_new_tokens, parts.block_size, chat=chat, seed=seed, n=n,
        particles=parts.search.particles,
    )  # fmt: skip
    draws = NotedDraws(seed=0)  # the rows' own keys hold their seeds
    steps = run(lm, batch, parts, draws=draws, compile=compile)
    if streamer is not None:
        steps = feed(steps, streamer, lm, batch, strings)
    found = collect(
        through(checked(steps, parts, draws) if n * parts.search.particles > 1 else steps),
        batch,
        parts,
        eos_ids=lm.eos_ids,
        keep_steps=keep_steps,
    )
    read = [read_answer(lm, canvas, strings) for canvas in found.canvases]
    return Generation(
        texts=[text for _, text in read],
        answers=[answer for answer, _ in read],
        sequences=found.sequences,
        forwards=found.forwards,
        row_forwards=found.row_forwards,
        is_stuck=found.is_stuck,
        steps=found.steps,
        n=n,
    )


def stream(
    lm: LoadedModel,
    prompt: Prompt,
    *,
    decoder: Decoder | None = None,
    max_new_tokens: int = 256,
    seed: int = 0,
    chat: bool | None = None,
    stop_strings: Sequence[str] | str = (),
    regex: str | None = None,
    json_schema: dict[str, Any] | str | None = None,
    compile: bool = False,  # noqa: A002  # as torch and transformers call it
    **options: Any,
) -> Iterator[Step]:
    """Answer one prompt, yielding a ``Step`` for every forward. Arguments as for ``generate``."""
    strings = check_strings(lm, stop_strings)
    constraint = constraint_of(regex=regex, json_schema=json_schema)
    parts = parts_of(lm, decoder, options, strings, constraint=constraint)
    particles = parts.search.particles
    batch = prepare(lm, [prompt], max_new_tokens, parts.block_size, chat=chat, seed=seed, particles=particles)
    yield from run(lm, batch, parts, draws=NotedDraws(seed=0), compile=compile)
