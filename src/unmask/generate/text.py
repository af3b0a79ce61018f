"""From tokens to text: where an answer ends, its text, and what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unmask.core.batch import Batch
from unmask.decoding import State, Step
from unmask.errors import UserError
from unmask.models import LoadedModel


def check_strings(lm: LoadedModel, strings: Sequence[str] | str) -> tuple[str, ...]:
    """Return one stop string or several as a tuple; a ``UserError`` if one is empty or there is no tokenizer."""
    found = (strings,) if isinstance(strings, str) else tuple(strings)
    for string in found:
        if not isinstance(string, str) or not string:
            raise UserError(f"stop string: expected text of at least one character, found {string!r}")
    if found and lm.tokenizer is None:
        raise UserError("stop strings: the model has no tokenizer to spell its tokens; leave them out")
    return found


def spelled(lm: LoadedModel, ids: Sequence[int]) -> str:
    """Return the text of tokens, without special tokens; empty if the model has no tokenizer."""
    return "" if lm.tokenizer is None else str(lm.tokenizer.decode(list(ids), skip_special_tokens=True))


def cut_at_end(ids: Tensor, eos_ids: Sequence[int]) -> Tensor:
    """Return the tokens [L] up to and with the first end token; all if there is none."""
    ends = torch.isin(ids, torch.tensor(list(eos_ids), dtype=torch.int64)).nonzero()
    return ids[: int(ends[0]) + 1] if len(ends) else ids


def cut_at_strings(lm: LoadedModel, ids: Tensor, strings: Sequence[str]) -> tuple[Tensor, str]:
    """Return the tokens up to and with the one that completes the first stop string, and the text before that string.

    Without a stop string in it, the answer is returned whole.
    """
    text = spelled(lm, ids.tolist())
    begins = [text.find(string) for string in strings]
    if max(begins, default=-1) < 0:
        return ids, text
    counts = range(1, len(ids) + 1)
    kept = next(count for count in counts if _holds(spelled(lm, ids[:count].tolist()), strings))
    return ids[:kept], text[: min(begin for begin in begins if begin >= 0)]


def _holds(text: str, strings: Sequence[str]) -> bool:
    return any(string in text for string in strings)


@dataclass(frozen=True, kw_only=True)
class StopAtText:
    """A row ends with the block that completes a stop string, or by the decoder's own stop.

    Only finished blocks are read: tokens between open columns are no text yet. A block that a revision may still change
    is not finished.

    Args:
        lm: a model with a tokenizer.
        strings: any of them ends a row.
        other: the decoder's own stop.
    """

    lm: LoadedModel
    strings: tuple[str, ...]
    other: Any

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Tensor:
        """Return whether each row has ended, [B]: by its text up to the active block (with it, if that is full)."""
        offset = state.batch.offset
        is_open = state.is_open & (offset < state.block_end[:, None])
        known = torch.where(is_open.any(1) | state.is_held, state.block_start, state.block_end)
        finished: Tensor = self.other.is_finished(state, eos_ids).clone()
        for row in ((known > 0) & ~state.is_done).nonzero().flatten().tolist():
            is_known = (offset[row] >= 0) & (offset[row] < known[row])
            ids = cut_at_end(state.ids[row][is_known].cpu(), eos_ids)
            finished[row] |= _holds(spelled(self.lm, ids.tolist()), self.strings)
        return finished


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Result of ``generate``: a row for each sample, those of a prompt side by side.

    Args:
        texts: answers up to the end of text or the first stop string, without special tokens.
        answers: answer tokens of each row, up to and with the first end token or the token that completes the first
            stop string.
        sequences: prompt plus canvas of each row.
        forwards: calls of the model for the whole batch.
        row_forwards: forwards that read each row.
        is_stuck: whether each row ended early because the constraint allowed no further token.
        steps: all steps, if ``keep_steps``.
        n: samples of each prompt.
    """

    texts: list[str]
    answers: list[Tensor]
    sequences: list[Tensor]
    forwards: int
    row_forwards: list[int]
    is_stuck: list[bool] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    n: int = 1

    @property
    def tokens_per_forward(self) -> float:
        """Answer tokens (up to and with the end token) for each forward that read their row.

        As in the output of transformers' DiffusionGemma, which gives the figure of each row.
        """
        return sum(len(answer) for answer in self.answers) / max(sum(self.row_forwards), 1)

    @property
    def samples(self) -> list[list[str]]:
        """Texts of each prompt: a list of ``n`` for each."""
        return [self.texts[begin : begin + self.n] for begin in range(0, len(self.texts), self.n)]


def canvases(batch: Batch, ids: Tensor) -> list[Tensor]:
    """Return the canvas tokens of each row of ``ids`` [B, L], on the CPU."""
    return [ids[row][batch.offset[row] >= 0].cpu() for row in range(len(batch.order))]


def answer_text(lm: LoadedModel, state: State, row: int = 0, stop_strings: Sequence[str] = ()) -> str:
    """Return the text of a row's answer up to the end of text or the first stop string."""
    return read_answer(lm, canvases(state.batch, state.ids)[row], stop_strings)[1]


def read_answer(lm: LoadedModel, canvas: Tensor, stop_strings: Sequence[str] = ()) -> tuple[Tensor, str]:
    """Return the tokens and the text of the answer on a canvas, up to its end or the first stop string."""
    return cut_at_strings(lm, cut_at_end(canvas, lm.eos_ids), stop_strings)


def decode_text(lm: LoadedModel, ids: Tensor) -> str:
    """Return the text of answer tokens, without special tokens."""
    return spelled(lm, ids.tolist())
