"""Tasks: problems with answers that can be checked."""

from unmask.tasks.arithmetic import Arithmetic
from unmask.tasks.base import TASKS, Problem, Task, choose_task
from unmask.tasks.gsm8k import GSM8K
from unmask.tasks.sorting import Sorting

__all__ = ["GSM8K", "TASKS", "Arithmetic", "Problem", "Sorting", "Task", "choose_task"]
