"""Likelihood bounds of held-out solutions, in any order and as block decoding writes them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field

from unmask.config.components import component
from unmask.config.defaults import resolve_block_size
from unmask.data import encode
from unmask.evaluate import likelihoods
from unmask.evaluate.statistics import ratio_error
from unmask.models import LoadedModel
from unmask.tasks import Problem, Task

Count = Annotated[int, Field(ge=1)]


@component
class BoundSection:
    """Bounds on the likelihood of held-out solutions, after a whole run and of the base.

    Args:
        examples: of the test problems behind the validation problems, the first so many whose solution fits.
        samples: draws for each answer and for each of its blocks.
        block_size: of the decoding that the aligned bound is of; None: the decoder's, else the model's, else 32.
        max_length: longest prompt plus solution, tokens; longer ones are left out.
    """

    examples: Count = 64
    samples: Count = 16
    block_size: Count | None = None
    max_length: Count = 1024


def bounds(
    lm: LoadedModel, section: BoundSection, task: Task, problems: Sequence[Problem], *, block_size: int | None = None
) -> dict[str, Any]:
    """Measure both bounds of the solutions.

    Args:
        lm: the model.
        section: how many examples, and how exactly.
        task: decides whether prompts are chats.
        problems: candidates.
        block_size: the decoder's, where the section names none.

    Returns:
        The summary of ``Likelihoods``, with each example's ``tokens`` and ``nats`` by order.
    """
    size = resolve_block_size(decoder=section.block_size or block_size, model=lm.facts.block_size)
    examples = encode(
        [problem.record for problem in problems], lm.tokenizer, end_ids=lm.eos_ids, mask_id=lm.mask_id,
        max_length=section.max_length, block_size=size, chat=task.chat, too_long="skip",
    )  # fmt: skip
    chosen = examples[: section.examples]
    found = likelihoods(lm, chosen, samples=section.samples, block_size=size)
    nats = {"by_block": found.by_block.nats.tolist()}
    if found.any_order is not None:
        nats["any_order"] = found.any_order.nats.tolist()
    return {**found.summary(), "nats": nats, "tokens_each": found.by_block.tokens.tolist()}


def compare_bounds(runs: Sequence[Mapping[str, Any]], reference: str) -> list[dict[str, Any]]:
    """Compare each arm's bounds with the reference's on the same examples, averaged over the seeds that both have.

    Args:
        runs: results of all runs.
        reference: name of the reference arm.

    Returns:
        For each cell, other arm and order the difference in nats per token, with its standard error over examples.
    """
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for run in runs:
        if "bounds" in run["points"][-1]:
            found[run["cell"], run["arm"], run["seed"]] = run["points"][-1]["bounds"]
    rows = []
    for cell, arm in dict.fromkeys((cell, arm) for cell, arm, _ in found if arm != reference):
        pairs = [
            (mine, found[cell, reference, seed])
            for (of, name, seed), mine in found.items()
            if (of, name) == (cell, arm) and (cell, reference, seed) in found
        ]
        for order in ("any_order", "by_block"):
            both = [(a["nats"][order], b["nats"][order]) for a, b in pairs if order in a["nats"] and order in b["nats"]]
            if both:
                nats = torch.tensor(both, dtype=torch.float64)  # seeds x 2 x examples
                difference = (nats[:, 0] - nats[:, 1]).mean(0)
                counts = torch.tensor(pairs[0][0]["tokens_each"], dtype=torch.float64)
                rows.append(
                    {
                        "cell": cell, "arm": arm, "order": order, "seeds": len(both), "examples": len(counts),
                        "difference": float(difference.sum() / counts.sum()),
                        "standard_error": ratio_error(difference, counts),
                    }
                )  # fmt: skip
    return rows
