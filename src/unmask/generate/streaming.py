"""Sends steps to a transformers streamer, as transformers' own diffusion models do.

``put`` gets the prompt first and then each finished block; ``put_draft``, which ``TextDiffusionStreamer`` has, gets the
active block after every forward; ``end`` comes last. Tokens are on the CPU, in one row.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from unmask.core.batch import Batch
from unmask.decoding import State, Step
from unmask.errors import UserError
from unmask.generate.text import canvases, read_answer
from unmask.models import LoadedModel


@runtime_checkable
class Streamer(Protocol):
    """The interface of transformers' ``BaseStreamer``."""

    def put(self, value: Tensor) -> object:
        """Receive the prompt, or a finished block: token ids, int64 [1, tokens]."""
        ...

    def end(self) -> object:
        """Receive the end of the answer: no ``put`` follows."""
        ...


def feed(
    steps: Iterable[Step], streamer: Streamer, lm: LoadedModel, batch: Batch, stop_strings: Sequence[str] = ()
) -> Iterator[Step]:
    """Yield the steps, and send a streamer what each has written.

    Differs from DiffusionGemma: a draft has mask tokens where nothing is written yet, and what follows the end of the
    answer is not put.

    Args:
        steps: of one row.
        streamer: receives tokens.
        lm: the model.
        batch: that is decoded.
        stop_strings: the answer ends before any of them.

    Yields:
        Each step, unchanged.

    Raises:
        UserError: there are several rows, or the streamer asks for logits.
    """
    if len(batch.order) != 1:
        raise UserError(f"streamer: expected one prompt and n=1, found {len(batch.order)} rows; leave the streamer out")
    if getattr(streamer, "_takes_logits", False):
        raise UserError("streamer: expected one that takes tokens, found one that asks for logits")
    put_draft = getattr(streamer, "put_draft", None)
    streamer.put(batch.ids[:, ~batch.is_canvas[0] & ~batch.is_pad[0]].cpu())
    sent = 0
    for step in steps:
        canvas = canvases(batch, step.state.ids)[0]
        known = _known(step.state, canvas)
        if put_draft is not None:
            # A block that is full is behind the active one already.
            put_draft(value=canvas[None, sent : known if known > sent else int(step.state.block_end[0])])
        if known > sent:
            answer, _ = read_answer(lm, canvas[:known], stop_strings)
            if len(answer) > sent:
                streamer.put(answer[None, sent:])
            sent = known
        yield step
    streamer.end()


def _known(state: State, canvas: Tensor) -> int:
    """Return the number of canvas columns before the active block; all of them in a row that is done."""
    return int(torch.where(state.is_done[0], len(canvas), state.block_start[0]))
