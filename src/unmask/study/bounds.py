"""Likelihood bounds of held-out solutions, in any order and as block decoding writes them."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from unmask.config import part
from unmask.data import encode
from unmask.evaluate import likelihoods
from unmask.models import LoadedModel
from unmask.tasks import Problem, Task

Count = Annotated[int, Field(ge=1)]


@part
class BoundSection:
    """Bounds on the likelihood of held-out solutions, after a whole run and of the base.

    Args:
        examples: of the problems, the first so many whose solution fits.
        samples: draws for each answer and for each of its blocks.
        block_size: of the decoding that the aligned bound is of.
        max_length: longest prompt plus solution, tokens; others are left out.
    """

    examples: Count = 64
    samples: Count = 16
    block_size: Count = 32
    max_length: Count = 1024


def bounds(lm: LoadedModel, section: BoundSection, task: Task, problems: Sequence[Problem]) -> dict[str, Any]:
    """Measure both bounds of the solutions.

    Returns:
        The summary of ``Likelihoods``, with each example's ``tokens`` and ``nats`` by order.
    """
    examples = encode(
        [problem.record for problem in problems], lm.tokenizer, end_ids=lm.eos_ids, mask_id=lm.mask_id,
        max_length=section.max_length, block_size=section.block_size, chat=task.chat, too_long="skip",
    )  # fmt: skip
    chosen = examples[: section.examples]
    found = likelihoods(lm, chosen, samples=section.samples, block_size=section.block_size)
    nats = {"by_block": found.by_block.nats.tolist()}
    if found.any_order is not None:
        nats["any_order"] = found.any_order.nats.tolist()
    return {**found.summary(), "nats": nats, "tokens_each": found.by_block.tokens.tolist()}
