"""Judged answers, and the accuracy, pass@k and cost that are computed from them."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from unmask.errors import UserError
from unmask.evaluate.intervals import CLUSTERED, share_interval, wilson


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One judged answer.

    Args:
        source: where the problem came from, such as a file and line.
        prompt: what the model was asked.
        text: what it answered.
        expected: the right answer.
        is_right: the task's judgement.
        problem: index of the problem, from 0.
        sample: index among the answers to the problem, from 0.
        tokens: length of the answer, up to and with the end token.
        forwards: forwards that read its row.
        seconds: its share of the time that its batch took.
        grades: further scores of the task, from 0 to 1.
    """

    source: str
    prompt: str
    text: str
    expected: str
    is_right: bool
    problem: int = 0
    sample: int = 0
    tokens: int = 0
    forwards: int = 0
    seconds: float = 0.0
    grades: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Answers and what they cost. Nothing but ``seconds`` depends on how they were cut into batches or processes.

    Args:
        answers: in the order of the problems, the samples of each side by side.
        samples: answers to each problem.
        seconds: wall time, without what an earlier run had done already.
        why_empty: why answers that this process decoded say nothing -> how many of them; see ``generate.empty``.
    """

    answers: list[Answer]
    samples: int = 1
    seconds: float = 0.0
    why_empty: Mapping[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> int:
        """Number of problems that were answered."""
        return len(self.answers) // self.samples

    @property
    def right(self) -> int:
        """Number of answers that are right."""
        return sum(answer.is_right for answer in self.answers)

    @property
    def accuracy(self) -> float:
        """Share of right answers, from 0 to 1; with several samples that is avg@k."""
        return self.right / max(len(self.answers), 1)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % interval: Wilson's, or with several samples ``share_interval`` over problems."""
        if self.samples == 1 or not self.answers:
            return wilson(self.right, len(self.answers))
        return share_interval([right / self.samples for right in self.right_by_problem], draws=self.samples)

    @property
    def right_by_problem(self) -> list[int]:
        """Number of right answers to each problem, in order."""
        rights = [answer.is_right for answer in self.answers]
        return [sum(rights[i : i + self.samples]) for i in range(0, len(rights), self.samples)]

    def pass_at(self, k: int) -> float:
        """Return pass@k: the chance that one of k answers to a problem is right, averaged over problems.

        A ``UserError`` is raised where there are fewer than k samples.
        """
        return sum(self._chances(k)) / max(self.problems, 1)

    @property
    def forwards(self) -> int:
        """Forwards that read each answer's row, summed over answers."""
        return sum(answer.forwards for answer in self.answers)

    @property
    def tokens_per_forward(self) -> float:
        """Answer tokens for each forward that read their row."""
        return sum(answer.tokens for answer in self.answers) / max(self.forwards, 1)

    @property
    def fingerprint(self) -> str:
        """Hash of all texts (16 hex digits), by which two runs are compared."""
        return digest([[answer.problem, answer.sample, answer.text] for answer in self.answers])

    def summary(self) -> dict[str, Any]:
        """Return accuracy and its interval, pass@k and cost as JSON types."""
        return dict(self._summary)

    @cached_property
    def _summary(self) -> dict[str, Any]:
        return {
            "accuracy": round(self.accuracy, 4),
            "interval": [round(limit, 4) for limit in self.interval],
            "interval_method": "wilson" if self.samples == 1 or not self.answers else CLUSTERED,
            "problems": self.problems,
            "samples": self.samples,
            **({"pass": self._passes()} if self.samples > 1 and self.answers else {}),
            **({"grades": grades} if (grades := self._grades()) else {}),
            "empty": sum(not answer.text.strip() for answer in self.answers),
            "forwards": self.forwards,
            "tokens_per_forward": round(self.tokens_per_forward, 3),
            "seconds": round(self.seconds, 2),
            "decoding_seconds": round(sum(answer.seconds for answer in self.answers), 2),
        }

    def _chances(self, k: int) -> list[float]:
        if not 1 <= k <= self.samples:
            raise UserError(f"pass@{k}: expected 1 to {self.samples}, the samples of each problem; draw more samples")
        return [pass_at_k(self.samples, right, k) for right in self.right_by_problem]

    def _passes(self) -> dict[str, dict[str, Any]]:
        """Return pass@1, 2, 4 … and of all samples, each with its interval over problems."""
        doublings = [2**power for power in range(self.samples.bit_length())]
        rows = {}
        for k in sorted({*doublings, self.samples}):
            chances = self._chances(k)
            limits = [round(limit, 4) for limit in share_interval(chances, draws=self.samples)]
            rows[str(k)] = {"rate": round(sum(chances) / len(chances), 4), "interval": limits}
        return rows

    def _grades(self) -> dict[str, float]:
        names = sorted({name for answer in self.answers for name in answer.grades})
        return {
            name: round(sum(answer.grades.get(name, 0.0) for answer in self.answers) / len(self.answers), 4)
            for name in names
        }


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Return an unbiased estimate of the chance that one of k answers is right (Chen et al., arXiv 2107.03374, Eq. 1).

    >>> pass_at_k(4, 1, 2), pass_at_k(4, 3, 2), pass_at_k(5, 0, 5)
    (0.5, 1.0, 0.0)

    Args:
        samples: answers to the problem.
        right: how many of them are right.
        k: how many would be drawn, at most ``samples``.

    Returns:
        A probability.
    """
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


def digest(value: object) -> str:
    """Return a hash (16 hex digits) of anything that JSON can write."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def by_problem(answers: Sequence[Answer]) -> dict[tuple[int, int], Answer]:
    """Return answers by (problem, sample)."""
    return {(answer.problem, answer.sample): answer for answer in answers}
