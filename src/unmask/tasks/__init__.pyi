# Written by make index.

from unmask.tasks.aime import AIME24 as AIME24
from unmask.tasks.aime import AIME25 as AIME25
from unmask.tasks.arithmetic import Arithmetic as Arithmetic
from unmask.tasks.base import TASKS as TASKS
from unmask.tasks.base import Graded as Graded
from unmask.tasks.base import Problem as Problem
from unmask.tasks.base import Task as Task
from unmask.tasks.base import choose_task as choose_task
from unmask.tasks.base import grades as grades
from unmask.tasks.countdown import Countdown as Countdown
from unmask.tasks.edits import Edits as Edits
from unmask.tasks.gsm8k import GSM8K as GSM8K
from unmask.tasks.humaneval import HumanEval as HumanEval
from unmask.tasks.math500 import Math500 as Math500
from unmask.tasks.mbpp import MBPP as MBPP
from unmask.tasks.questions import Questions as Questions
from unmask.tasks.rules.contains import ContainsRule as ContainsRule
from unmask.tasks.rules.exact import ExactRule as ExactRule
from unmask.tasks.rules.function import FunctionRule as FunctionRule
from unmask.tasks.rules.judge import JudgeRule as JudgeRule
from unmask.tasks.rules.mathematics import MathRule as MathRule
from unmask.tasks.rules.number import NumberRule as NumberRule
from unmask.tasks.rules.pattern import RegexRule as RegexRule
from unmask.tasks.sorting import Sorting as Sorting
from unmask.tasks.sudoku import Sudoku as Sudoku
from unmask.tasks.thinking import without_thinking as without_thinking
