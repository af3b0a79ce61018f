"""Evaluation: accuracy with an interval, and what it cost."""

from unmask.evaluate.api import Answer, Evaluation, check_writable, evaluate
from unmask.evaluate.intervals import wilson

__all__ = ["Answer", "Evaluation", "check_writable", "evaluate", "wilson"]
