"""Evaluation on a model whose answers are known."""

import importlib
import json
from types import SimpleNamespace

import pytest
import torch

from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate import check_writable, evaluate
from unmask.models import ScratchSpec, from_scratch
from unmask.tasks import Sorting


@pytest.fixture
def model(monkeypatch):
    """Answers every prompt whose first digit is even rightly, and the others with nothing."""
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1))
    calls = []

    def generate(lm, prompts, *, decoder, max_new_tokens, seed, chat):
        calls.append(prompts)
        texts = ["".join(sorted(p[:-1])) if int(p[0]) % 2 == 0 else "" for p in prompts]
        answers = [torch.zeros(len(text) + 1) for text in texts]
        return SimpleNamespace(texts=texts, answers=answers, forwards=4, row_forwards=[4] * len(prompts))

    monkeypatch.setattr(importlib.import_module("unmask.evaluate.api"), "generate", generate)
    return lm, calls


def test_answers_keep_the_order_of_the_problems_and_are_batched_by_length(model):
    lm, calls = model
    task = Sorting(shortest=3, longest=6)
    problems = task.problems("test", 25, 0)
    done = []
    found = evaluate(
        lm, task, problems, decoder=Decoder(), max_new_tokens=8, batch_size=10, on_batch=done.append
    )  # fmt: skip
    assert [a.prompt for a in found.answers] == [p.prompt for p in problems]
    assert [a.is_right for a in found.answers] == [int(p.prompt[0]) % 2 == 0 for p in problems]
    assert [len(prompts) for prompts in calls] == [10, 10, 5]
    assert (lengths := [len(prompt) for prompts in calls for prompt in prompts]) == sorted(lengths)
    assert done == [10, 20, 25]
    assert found.forwards == 12
    right = [len(p.answer) + 1 for p in problems if int(p.prompt[0]) % 2 == 0]
    assert found.tokens_per_forward == pytest.approx((sum(right) + 25 - len(right)) / 100)
    assert found.summary()["accuracy"] == len(right) / 25
    assert found.summary()["problems"] == 25


def test_answers_are_written_as_lines(model, tmp_path):
    lm, _ = model
    task = Sorting(shortest=3, longest=3)
    found = evaluate(lm, task, task.problems("test", 3, 0), decoder=Decoder(), max_new_tokens=8)
    path = tmp_path / "new" / "answers.jsonl"
    check_writable(path)
    found.write(path)
    assert [json.loads(line)["expected"] for line in path.read_text().splitlines()] == [
        a.expected for a in found.answers
    ]
    with pytest.raises(UserError, match="expected a new file, found something of that name"):
        check_writable(path)


def test_nothing_asked(model):
    found = evaluate(model[0], Sorting(), [], decoder=Decoder(), max_new_tokens=8)
    assert found.summary()["interval"] == [0.0, 1.0]
    assert found.summary()["accuracy"] == 0.0
