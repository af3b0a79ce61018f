"""Tasks: problems with answers that can be checked."""

from unmask.config.registry import lazy
from unmask.tasks.base import TASKS, Graded, Problem, Task, choose_task, connect, grades
from unmask.tasks.thinking import without_thinking

__getattr__, __dir__ = lazy(__name__)
__all__ = ["TASKS", "Graded", "Problem", "Task", "choose_task", "connect", "grades", "without_thinking"]
