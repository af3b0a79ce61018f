# Written by make index.

from unmask.tasks.rules.base import ANSWER_RULES as ANSWER_RULES
from unmask.tasks.rules.base import AnswerRule as AnswerRule
from unmask.tasks.rules.base import Comparison as Comparison
from unmask.tasks.rules.base import answer_rule as answer_rule
from unmask.tasks.rules.contains import ContainsRule as ContainsRule
from unmask.tasks.rules.exact import ExactRule as ExactRule
from unmask.tasks.rules.function import FunctionRule as FunctionRule
from unmask.tasks.rules.judge import JudgeRule as JudgeRule
from unmask.tasks.rules.mathematics import MathRule as MathRule
from unmask.tasks.rules.number import NumberRule as NumberRule
from unmask.tasks.rules.pattern import RegexRule as RegexRule
