"""``evaluate``: decode a task's problems and judge the answers."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b

from unmask.config.defaults import resolve_canvas
from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate import processes
from unmask.evaluate.answers import Answer, Evaluation, by_problem
from unmask.evaluate.journal import Journal
from unmask.generate import generate
from unmask.generate.empty import why_empty
from unmask.models import LoadedModel
from unmask.tasks import Problem, Task, connect, grades, without_thinking


def evaluate(
    lm: LoadedModel,
    task: Task,
    problems: Sequence[Problem],
    *,
    decoder: Decoder | None = None,
    max_new_tokens: int | None = None,
    samples: int = 1,
    batch_size: int = 64,
    seed: int = 0,
    journal: Journal | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Evaluation:
    """Decode and judge a task's problems. In a process group each process takes its share, and all return the whole.

    An answer depends on its problem, the sample's number and the seed, not on the batch or the process. A ``UserError``
    is raised where several samples are wanted of a decoder that would give the same one each time.

    Args:
        lm: the model.
        task: the task that judges.
        problems: what the model is asked.
        decoder: how it decodes; default: one token a step, with the model's block size.
        max_new_tokens: columns of each canvas; default: those of the canvas that the model was trained for, else 256.
        samples: answers to each problem.
        batch_size: answers decoded side by side; sorted by length first, so that few columns are padding.
        seed: seed of the sampler.
        journal: where answers are written as they come, and read from: what is there is not decoded again.
        on_batch: called with the number of answers done, by this process or before.

    Returns:
        All answers, in the order of the problems, and what they cost.
    """
    decoder = decoder or Decoder()
    canvas = resolve_canvas(given=max_new_tokens, model=lm.facts.canvas)
    check_samples(samples, decoder)
    began = time.perf_counter()
    done = by_problem(journal.done if journal else [])
    by_length = sorted(range(len(problems)), key=lambda i: len(problems[i].prompt))
    units = [(index, sample) for index in by_length for sample in range(samples)]
    mine = [unit for unit in units[processes.rank() :: processes.world()] if unit not in done]
    found: list[Answer] = []
    reasons: Counter[str] = Counter()
    if mine:
        connect(task)
    for begin in range(0, len(mine), batch_size):
        chosen = mine[begin : begin + batch_size]
        judged = _answer(lm, task, problems, chosen, decoder=decoder, max_new_tokens=canvas, seed=seed, reasons=reasons)
        if journal:
            journal.append(judged)
        found += judged
        if on_batch:
            on_batch(len(done) + len(found))
    whole = done | by_problem(processes.gather(found))
    answers = [whole[index, sample] for index in range(len(problems)) for sample in range(samples)]
    return Evaluation(answers=answers, samples=samples, seconds=time.perf_counter() - began, why_empty=dict(reasons))


def check_samples(samples: int, decoder: Decoder) -> None:
    """Refuse several samples of a decoder that draws nothing.

    Args:
        samples: answers to each problem.
        decoder: how they are decoded.

    Raises:
        UserError: ``samples`` is below 1, or above 1 at a temperature of 0.
    """
    if samples < 1:
        raise UserError(f"samples={samples}: expected at least 1")
    outer = decoder.resolve().proposal
    proposal = getattr(outer, "inner", outer)
    if samples > 1 and not getattr(proposal, "temperature", 0):
        raise UserError(
            f"samples={samples}: expected a temperature above 0, found 0, at which all samples of a problem are the "
            "same; write --temperature 0.7, or leave the samples out"
        )


def _answer(
    lm: LoadedModel,
    task: Task,
    problems: Sequence[Problem],
    chosen: Sequence[tuple[int, int]],
    *,
    decoder: Decoder,
    max_new_tokens: int,
    seed: int,
    reasons: Counter[str],
) -> list[Answer]:
    """Return the judged answers of a batch of (problem, sample), and count why empty ones are empty."""
    began = time.perf_counter()
    out = generate(
        lm,
        [problems[index].query for index, _ in chosen],
        decoder=decoder,
        max_new_tokens=max_new_tokens,
        seed=[sample_seed(seed, sample) for _, sample in chosen],
        chat=task.chat,
    )
    seconds = (time.perf_counter() - began) / len(chosen)
    for tokens, text, finish in zip(out.answers, out.texts, out.finish, strict=True):
        # A task, not the user, says whether the chat template is used: that is no remedy here.
        if reason := why_empty(lm, tokens, text, finish=finish, canvas=max_new_tokens):
            reasons[reason] += 1
    rows = zip(chosen, out.texts, out.answers, out.row_forwards, strict=True)
    return [
        Answer(
            source=problems[index].source,
            prompt=problems[index].prompt,
            text=text,
            expected=problems[index].answer,
            is_right=task.is_right(without_thinking(text), problems[index]),
            problem=index,
            sample=sample,
            tokens=len(tokens),
            forwards=forwards,
            seconds=seconds,
            grades=grades(task, without_thinking(text), problems[index]),
        )
        for (index, sample), text, tokens, forwards in rows
    ]


def sample_seed(seed: int, sample: int) -> int:
    """Return a sample's seed, a function of the run's seed and the sample's index; the first has the run's."""
    if not sample:
        return seed
    return int.from_bytes(blake2b(f"{seed}/{sample}".encode(), digest_size=7).digest(), "little")
