"""Evaluation: accuracy with an interval, and what it cost."""

from unmask.evaluate.api import Answer, Evaluation, evaluate
from unmask.evaluate.intervals import wilson

__all__ = ["Answer", "Evaluation", "evaluate", "wilson"]
