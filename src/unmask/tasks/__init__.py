"""Tasks: problems with answers that can be checked."""

from unmask.tasks.aime import AIME24, AIME25
from unmask.tasks.arithmetic import Arithmetic
from unmask.tasks.base import TASKS, Graded, Problem, Task, choose_task, grades
from unmask.tasks.countdown import Countdown
from unmask.tasks.edits import Edits
from unmask.tasks.gsm8k import GSM8K
from unmask.tasks.humaneval import HumanEval
from unmask.tasks.math500 import Math500
from unmask.tasks.mbpp import MBPP
from unmask.tasks.sorting import Sorting
from unmask.tasks.sudoku import Sudoku
from unmask.tasks.thinking import without_thinking

__all__ = [
    "AIME24",
    "AIME25",
    "GSM8K",
    "MBPP",
    "TASKS",
    "Arithmetic",
    "Countdown",
    "Edits",
    "Graded",
    "HumanEval",
    "Math500",
    "Problem",
    "Sorting",
    "Sudoku",
    "Task",
    "choose_task",
    "grades",
    "without_thinking",
]
