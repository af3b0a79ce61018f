"""Rules by which an answer to a question of one's own is right: each is one class in one file."""

from unmask.config.registry import lazy
from unmask.tasks.rules.base import ANSWER_RULES, AnswerRule, Comparison, answer_rule

__getattr__, __dir__ = lazy(__name__)
__all__ = ["ANSWER_RULES", "AnswerRule", "Comparison", "answer_rule"]
