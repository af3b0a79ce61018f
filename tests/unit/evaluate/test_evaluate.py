"""Evaluation on a model whose answers are known."""

import importlib
from types import SimpleNamespace

import pytest
import torch

from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate import evaluate
from unmask.models import ScratchSpec, from_scratch
from unmask.tasks import Sorting


@pytest.fixture
def model(monkeypatch):
    """Answers every prompt whose first digit is even rightly, and the others with nothing."""
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1))
    calls = []

    def generate(lm, prompts, *, decoder, max_new_tokens, seed, chat):
        calls.append((prompts, seed))
        texts = ["".join(sorted(p[:-1])) if int(p[0]) % 2 == 0 else "" for p in prompts]
        answers = [torch.zeros(len(text) + 1, dtype=torch.int64) for text in texts]
        return SimpleNamespace(
            texts=texts, answers=answers, forwards=4, row_forwards=[4] * len(prompts), finish=["end"] * len(prompts)
        )

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
    assert [len(prompts) for prompts, _ in calls] == [10, 10, 5]
    assert (lengths := [len(prompt) for prompts, _ in calls for prompt in prompts]) == sorted(lengths)
    assert done == [10, 20, 25]
    assert found.forwards == 100
    right = [len(p.answer) + 1 for p in problems if int(p.prompt[0]) % 2 == 0]
    assert found.tokens_per_forward == pytest.approx((sum(right) + 25 - len(right)) / 100)
    assert found.summary()["accuracy"] == len(right) / 25
    assert found.summary()["problems"] == 25
    assert found.summary()["empty"] == 25 - len(right)


def test_samples_stand_side_by_side_with_a_seed_each(model):
    lm, calls = model
    task = Sorting(shortest=3, longest=3)
    problems = task.problems("test", 5, 0)
    found = evaluate(
        lm, task, problems, decoder=Decoder(temperature=1.0), max_new_tokens=8, samples=3, batch_size=4, seed=7
    )  # fmt: skip
    assert [(a.problem, a.sample) for a in found.answers] == [(i, s) for i in range(5) for s in range(3)]
    assert found.problems == 5
    queried = [(prompt, seed) for prompts, seeds in calls for prompt, seed in zip(prompts, seeds, strict=True)]
    assert len(set(queried)) == 15
    assert len({seed for _, seed in queried}) == 3
    assert {(problem.prompt, 7) for problem in problems} <= set(queried)
    assert [len(prompts) for prompts, _ in calls] == [4, 4, 4, 3]


@pytest.mark.parametrize("decoder", [Decoder(), Decoder(proposal="greedy"), Decoder(proposal="no_eos")])
def test_several_samples_need_a_temperature(model, decoder):
    task = Sorting(shortest=3, longest=3)
    with pytest.raises(UserError, match="samples=2: expected a temperature above 0, found 0"):
        evaluate(model[0], task, task.problems("test", 1, 0), decoder=decoder, max_new_tokens=8, samples=2)
    assert not model[1]


def test_nothing_asked(model):
    found = evaluate(model[0], Sorting(), [], decoder=Decoder(), max_new_tokens=8)
    assert found.summary()["interval"] == [0.0, 1.0]
    assert found.summary()["accuracy"] == 0.0


def test_a_sampled_answer_does_not_depend_on_its_batch():
    """With the real decoder: alone, beside others, and in another order of the problems."""
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1, seed=5), device="cpu")
    task = Sorting(shortest=3, longest=6)
    problems = task.problems("test", 6, 0)

    def texts(queried, batch_size):
        found = evaluate(
            lm, task, queried, decoder=Decoder(temperature=1.0, block_size=4, steps=4), max_new_tokens=8, samples=2,
            batch_size=batch_size, seed=3,
        )  # fmt: skip
        return {(answer.prompt, answer.sample): answer.text for answer in found.answers}

    together = texts(problems, 12)
    assert together == texts(problems, 1) == texts(problems[::-1], 5)
    assert all(together[problem.prompt, 0] != together[problem.prompt, 1] for problem in problems)
