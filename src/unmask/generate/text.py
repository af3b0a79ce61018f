"""From tokens to text: where an answer ends, its text, and what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unmask.core.batch import Batch
from unmask.decoding import State, Step
from unmask.models import LoadedModel


def spelled(lm: LoadedModel, ids: Sequence[int] | Tensor) -> str:
    """Return the text of tokens, without special tokens; empty if the model has no tokenizer."""
    if lm.tokenizer is None:
        return ""
    return str(lm.tokenizer.decode(torch.as_tensor(ids).tolist(), skip_special_tokens=True))


decode_text = spelled


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
    kept = next(count for count in counts if holds(spelled(lm, ids[:count].tolist()), strings))
    return ids[:kept], text[: min(begin for begin in begins if begin >= 0)]


def finish_of(lm: LoadedModel, answer: Tensor, strings: Sequence[str] = (), *, is_stuck: bool = False) -> str:
    """Return why an answer ends: ``stop``: a stop string, ``end``: an end token, ``stuck``, ``length``: a full canvas.

    Args:
        lm: the model that wrote it.
        answer: its tokens, as ``read_answer`` returns them.
        strings: that end an answer.
        is_stuck: whether a constraint allowed no further token.

    Returns:
        One of the four.
    """
    if strings and holds(spelled(lm, answer.tolist()), strings):
        return "stop"
    if len(answer) and int(answer[-1]) in lm.eos_ids:
        return "end"
    return "stuck" if is_stuck else "length"


def holds(text: str, strings: Sequence[str]) -> bool:
    """Return whether any of the strings stands in a text."""
    return any(string in text for string in strings)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Result of ``generate``: a row for each sample, those of a prompt side by side.

    Args:
        texts: answers up to the end of text or the first stop string, without special tokens.
        answers: answer tokens of each row, up to and with the first end token or the token that completes the first
            stop string.
        sequences: prompt plus canvas of each row, without what only completed the last block.
        forwards: calls of the model for the whole batch.
        row_forwards: forwards that read each row.
        is_stuck: whether each row ended early because the constraint allowed no further token.
        finish: why each answer ends, ``end``, ``stop``, ``length`` or ``stuck``; empty for texts with blanks.
        steps: all steps, if ``keep_steps``.
        n: samples of each prompt.
    """

    texts: list[str]
    answers: list[Tensor]
    sequences: list[Tensor]
    forwards: int
    row_forwards: list[int]
    is_stuck: list[bool] = field(default_factory=list)
    finish: list[str] = field(default_factory=list)
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
    """Return the canvas tokens of each row of ``ids`` [B, L], on the CPU, without what only completes a last block."""
    return [ids[row][batch.is_wanted[row]].cpu() for row in range(len(batch.order))]


def answer_text(lm: LoadedModel, state: State, row: int = 0, stop_strings: Sequence[str] = ()) -> str:
    """Return the text of a row's answer up to the end of text or the first stop string."""
    return read_answer(lm, canvases(state.batch, state.ids)[row], stop_strings)[1]


def read_answer(lm: LoadedModel, canvas: Tensor, stop_strings: Sequence[str] = ()) -> tuple[Tensor, str]:
    """Return the tokens and the text of the answer on a canvas, up to its end or the first stop string."""
    return cut_at_strings(lm, cut_at_end(canvas, lm.eos_ids), stop_strings)
