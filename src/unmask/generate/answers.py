"""What comes out: answers as tokens and as text, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from unmask.canvas import Batch
from unmask.decoding import State, Step
from unmask.generate.stops import cut_at_end, cut_at_strings, spelled
from unmask.models import LoadedModel


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What ``generate`` returns; a row for each sample, those of a prompt side by side.

    Args:
        texts: answers up to the end of text or the first stop string, without special tokens.
        answers: answer tokens of each row, up to and with the first end token or the token that completes the first
            stop string.
        sequences: prompt plus canvas of each row.
        forwards: calls of the model for the whole batch.
        row_forwards: forwards that read each row.
        is_stuck: rows whose text is only what was reached when nothing that the constraint allows was left to write.
        steps: the trace, if it was kept.
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
        """The texts of each prompt."""
        return [self.texts[begin : begin + self.n] for begin in range(0, len(self.texts), self.n)]


def canvases(batch: Batch, ids: Tensor) -> list[Tensor]:
    """Cut the canvas out of each row."""
    return [ids[row][batch.offset[row] >= 0].cpu() for row in range(len(batch.order))]


def answer_text(lm: LoadedModel, state: State, row: int = 0, stop_strings: Sequence[str] = ()) -> str:
    """Return a row's answer up to the end of text or the first stop string."""
    return read_answer(lm, canvases(state.batch, state.ids)[row], stop_strings)[1]


def read_answer(lm: LoadedModel, canvas: Tensor, stop_strings: Sequence[str] = ()) -> tuple[Tensor, str]:
    """Return the tokens and the text of the answer on a canvas."""
    return cut_at_strings(lm, cut_at_end(canvas, lm.eos_ids), stop_strings)


def decode_text(lm: LoadedModel, ids: Tensor) -> str:
    """Turn answer tokens into text, without special tokens."""
    return spelled(lm, ids.tolist())
