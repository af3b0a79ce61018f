"""What a model thinks is no answer."""

import time

import pytest

from unmask.tasks import AIME24, GSM8K, TASKS, Math500, Problem
from unmask.tasks.base import _Tasks
from unmask.tasks.thinking import without_thinking

FENCED = "```python\ndef f(s):\n    return s.split('{}')[-1]\n```"
SAID = {
    "<think>4</think>5": "5",
    "<think>\n4\n</think>\n\n5": "\n\n5",
    "<THINK>4</Think>5": "5",
    "<thinking>4</thinking>5": "5",
    "<thought>4</thought>5": "5",
    "<reasoning>4</reasoning><answer>5</answer>": "<answer>5</answer>",
    "<seed:think>4</seed:think>5": "5",
    "[THINK]4[/THINK]5": "5",
    "<|START_THINKING|>4<|END_THINKING|>5": "5",
    "<|begin_of_thought|>4<|end_of_thought|>5": "5",
    "◁think▷4◁/think▷5": "5",
    "4</think>5": "5",
    "3</think>4</think>5": "5",
    "<think>3</think>4</think>5": "5",
    "<think>3<think>4</think>5": "5",
    "<reasoning>3</think>4</reasoning>5": "5",
    "<think>4": "",
    "<think></think>": "",
    "5": "5",
    "5 <think>4</think>": "5 \n",
    "1<think>2</think>3": "1\n3",
    "use `<think>` or \"</think>\": 5": "use `<think>` or \"</think>\": 5",
    "I don't know <think>that's 4</think>5": "I don't know \n5",
    "3 <think> 4": "3 \n",
    FENCED.format("</think>"): FENCED.format("</think>"),
    "<think>4</think>" + FENCED.format("<think>"): FENCED.format("<think>"),
    "<think>```python\ndef f(</think>" + FENCED.format("</think>"): FENCED.format("</think>"),
    "```python\ndef f(\nno\n</think>\n" + FENCED.format("x"): "\n" + FENCED.format("x"),
    "    return s.replace('<think>', '')\n": "    return s.replace('<think>', '')\n",
    "#### 4</think>5": "5",
    "def f():\n    '''\n    </think>\n    '''\n": "def f():\n    '''\n    </think>\n    '''\n",
    "def f(s):\n    return s + '</think>'\nThis adds it.": "def f(s):\n    return s + '</think>'\nThis adds it.",
    "```\n<think>4</think>\n5\n```": "```\n\n\n5\n```",
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), SAID.items(), ids=repr)
def test_without_thinking(text, said):
    assert without_thinking(text) == said
    assert without_thinking(said) == said


@pytest.mark.parametrize("piece", ["<think>", "</think>", "<think></think>", "'<think>' ", "```py\n<think></think>\n"])
def test_marks_without_end_are_read_in_bounded_time(piece):
    start = time.monotonic()
    assert len(without_thinking(piece * 20_000)) <= 20_000 * len(piece)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    "name", [n for n in TASKS if n not in ("mbpp", "humaneval", "gsm8k", "math500", "aime24", "aime25", "questions")]
)
def test_what_is_thought_does_not_count_in_made_tasks(name):
    task = TASKS[name]()
    right, other = task.problems("test", 2, 0)
    for text in (right.solution, f"<think>{other.solution}</think>{right.solution}", f"x</think>\n{right.solution}"):
        assert task.is_right(text, right)
    for text in (
        f"<think>{right.solution}",
        f"{right.solution}</think>{other.solution}",
        f"<think>{right.solution}</think>",
    ):
        assert not task.is_right(text, right)
        if hasattr(task, "grades"):
            assert task.grades(f"<think>{right.solution}", right) == task.grades("", right)


@pytest.mark.parametrize(
    "thought",
    [
        "<scratchpad>30</scratchpad>",
        "<Thoughts>30</Thoughts>",
        "<|channel|>analysis<|message|>30<|end|><|start|>assistant<|channel|>final<|message|>",
        "analysis30assistantfinal",
    ],
)
def test_other_marks(thought):
    assert without_thinking(f"{thought}31") == "31"


@pytest.mark.parametrize("task", [Math500(), AIME24(), GSM8K()])
def test_what_is_thought_does_not_count_in_mathematics(task):
    problem = Problem(prompt="?", solution="!", answer="31", source="p")
    assert task.is_right("<think>\\boxed{30}</think>\\boxed{31}", problem)
    assert not task.is_right("<think>\\boxed{31}", problem)
    assert not task.is_right("\\boxed{31}</think>\\boxed{30}", problem)
    assert set(task.grades("<think>\\boxed{31}</think>#### 30", problem).values()) == {0.0}


def test_nor_in_a_task_of_the_user():
    tasks = _Tasks("task")

    @tasks.register("echo")
    class Echo:
        def is_right(self, text, problem):
            return text == problem.answer

    problem = Problem(prompt="?", solution="5", answer="5", source="p")
    assert Echo.name == "echo"
    assert Echo().is_right("<think>4</think>5", problem)
    assert not Echo().is_right("<think>5</think>4", problem)
