"""``evaluate``: decode a task's problems and judge the answers."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate.intervals import wilson
from unmask.generate import generate
from unmask.models import LoadedModel
from unmask.tasks import Problem, Task


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One judged answer."""

    place: str
    prompt: str
    text: str
    expected: str
    is_right: bool


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Accuracy and what it cost.

    Args:
        answers: in the order of the problems.
        forwards: calls of the model.
        tokens_per_forward: answer tokens for each forward that read their row.
        seconds: wall time of decoding.
    """

    answers: list[Answer]
    forwards: int
    tokens_per_forward: float
    seconds: float

    @property
    def right(self) -> int:
        """Answers that are right."""
        return sum(answer.is_right for answer in self.answers)

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / max(len(self.answers), 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % Wilson interval."""
        return wilson(self.right, len(self.answers))

    def write(self, path: Path) -> None:
        """Write the answers as JSON Lines."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "".join(json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in self.answers), "utf-8"
        )

    def summary(self) -> dict[str, Any]:
        """Return JSON types: accuracy, its 95 % Wilson interval, cost."""
        low, high = self.interval
        return {
            "accuracy": round(self.accuracy, 4),
            "interval": [round(low, 4), round(high, 4)],
            "problems": len(self.answers),
            "forwards": self.forwards,
            "tokens_per_forward": round(self.tokens_per_forward, 3),
            "seconds": round(self.seconds, 2),
        }


def evaluate(
    lm: LoadedModel,
    task: Task,
    problems: Sequence[Problem],
    *,
    decoder: Decoder,
    max_new_tokens: int,
    batch_size: int = 64,
    seed: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> Evaluation:
    """Decode and judge.

    Args:
        lm: the model.
        task: judges.
        problems: what is asked.
        decoder: how.
        max_new_tokens: columns of each canvas.
        batch_size: problems decoded side by side; they are sorted by length first, so that few columns are padding.
        seed: of the sampler.
        on_batch: called with the number of problems done.
    """
    began = time.perf_counter()
    order = sorted(range(len(problems)), key=lambda i: len(problems[i].prompt))
    texts, forwards, tokens, reads = {}, 0, 0, 0
    for begin in range(0, len(order), batch_size):
        chosen = order[begin : begin + batch_size]
        out = generate(
            lm,
            [problems[i].prompt for i in chosen],
            decoder=decoder,
            max_new_tokens=max_new_tokens,
            seed=seed + begin,
            chat=task.chat,
        )
        texts |= dict(zip(chosen, out.texts, strict=True))
        forwards += out.forwards
        tokens += sum(len(answer) for answer in out.answers)
        reads += sum(out.row_forwards)
        if on_batch:
            on_batch(len(texts))
    return Evaluation(
        answers=[
            Answer(
                place=p.place, prompt=p.prompt, text=texts[i], expected=p.answer, is_right=task.is_right(texts[i], p)
            )
            for i, p in enumerate(problems)
        ],
        forwards=forwards,
        tokens_per_forward=tokens / max(reads, 1),
        seconds=time.perf_counter() - began,
    )


def check_writable(path: Path) -> None:
    """Refuse a file that the answers could not be written to, before hours of decoding.

    Raises:
        UserError: it is a folder, is there already, or lies where nothing can be written.
    """
    if path.exists():
        raise UserError(f"{path}: expected a new file, found something of that name; choose another --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.unlink()
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
