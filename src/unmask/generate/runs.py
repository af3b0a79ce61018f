"""Running the decoding loop on a loaded model: its parts, its mode, its forwards."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unmask.canvas import Batch
from unmask.constraint import bind
from unmask.decoding import Decoder, Parts, Step, decode
from unmask.errors import UserError
from unmask.generate.stops import StopAtText
from unmask.models import LoadedModel
from unmask.seeds import Draws

Through = Callable[[Iterator[Step]], Iterable[Step]]


def unchanged(steps: Iterator[Step]) -> Iterator[Step]:
    """Let steps pass as they are."""
    return steps


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What a run leaves: of a prompt that was decoded in several rows, the best.

    Args:
        canvases: tokens of the canvas of each row.
        sequences: prompt and canvas of each row.
        forwards: calls of the model.
        row_forwards: steps that read each row, or those that compete with it.
        is_stuck: rows that ended because nothing that the constraint allows was left to write.
        steps: the trace, if it was kept.
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
    parts: Parts,
    *,
    draws: Draws,
    is_open: Tensor | None = None,
    compile: bool = False,  # noqa: A002  # as torch and transformers call it
) -> Iterator[Step]:
    """Decode a prepared batch in evaluation mode. ``is_open``: canvas columns to write; default all."""
    was_training = lm.model.training
    lm.model.eval()
    try:
        # Dynamic shapes: one compilation serves every length of text and every number of rows.
        with lm.through(torch.compile(lm.model, dynamic=True)) if compile else nullcontext():
            yield from decode(lm, batch, parts, draws=draws, is_open=is_open)
    finally:
        lm.model.train(was_training)


def collect(
    steps: Iterable[Step], batch: Batch, parts: Parts, *, eos_ids: Sequence[int], keep_steps: bool
) -> Collected:
    """Run to the end and count."""
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
    best = list(range(0, rows, parts.search.particles)) if state is None else parts.search.best(state, eos_ids).tolist()
    return Collected(
        canvases=[ids[row][batch.offset[row] >= 0].cpu() for row in best],
        sequences=[ids[row][batch.owner[row] >= 0].cpu() for row in best],
        forwards=forwards,
        row_forwards=row_forwards.view(len(best), -1).sum(1).tolist(),
        is_stuck=[state is not None and bool(state.is_stuck[row]) for row in best],
        steps=kept,
    )


def parts_of(
    lm: LoadedModel,
    decoder: Decoder | None = None,
    options: Mapping[str, Any] | None = None,
    stop_strings: Sequence[str] = (),
    *,
    constraint: Any = None,
) -> Parts:
    """Resolve a decoder, or its fields, for a model. ``constraint``: outranks the decoder's."""
    options = options or {}
    if decoder is not None and options:
        raise UserError(f"give either decoder=… or its fields {sorted(options)}, not both")
    parts = (decoder or Decoder(**options)).parts(**lm.decoding)
    parts = _with_line_breaks(lm, parts)
    parts = replace(parts, constraint=bind(constraint or parts.constraint, lm))
    if not stop_strings:
        return parts
    return replace(parts, stop=StopAtText(lm=lm, strings=tuple(stop_strings), other=parts.stop))


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
