"""What a recipe measures of its model while it trains: the held-out bound, the score on its task, some answers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import distributed
from torch.distributed.tensor import DTensor

from unmask.data import Encoded
from unmask.errors import UserError
from unmask.evaluate import evaluate, likelihood_bound
from unmask.generate import generate
from unmask.models import LoadedModel
from unmask.recipes.recipe import Recipe

EXAMPLES, SAMPLES = 8, 4
"""Held-out examples of the bound where ``run.eval_bound`` is None, and what is drawn for each of their blocks."""


class Along:
    """Measures the model of a recipe during its run; every process of a run calls the same.

    Args:
        recipe: of the run.
        lm: the model that is trained.
        held_out: examples that are not trained on.
        canvas: columns that the trained model will remember.
        is_alone: whether nothing else is measured; the bound that nobody asked for is left out otherwise.
    """

    def __init__(
        self, recipe: Recipe, lm: LoadedModel, held_out: Sequence[Encoded], *, canvas: int, is_alone: bool = True
    ) -> None:
        self.recipe, self.lm, self.canvas = recipe, lm, canvas
        self.size = recipe.block_size(lm.facts.block_size)
        run, section = recipe.run, recipe.evaluate
        wanted = run.eval_bound if run.eval_bound is not None else EXAMPLES if is_alone else 0
        readable = [each for each in held_out if len(each.prompt) or not lm.facts.shift]
        self.bounded = readable[:wanted]
        self.prompts = held_out[: run.samples]
        problems = section.while_training if section else None
        self.problems = section.task.problems(section.split, problems, section.seed) if section and problems else []

    def _refuse_shards(self) -> None:
        """Refuse to share problems among processes that must all call the model equally often."""
        is_sharded = any(isinstance(weight, DTensor) for weight in self.lm.model.parameters())
        if is_sharded and distributed.get_world_size() > 1:
            raise UserError("evaluate.while_training: not with sharded weights (FSDP); leave it out, or train with DDP")

    def evaluate(self) -> dict[str, float]:
        """Return ``held_out_bound``, nats a token as block decoding writes, and ``accuracy``, as far as asked for."""
        values: dict[str, float] = {}
        with self._as_trained():
            if self.bounded:
                # Not shared among processes: with sharded weights all must read the same number of rows.
                found = likelihood_bound(
                    self.lm, self.bounded, order="blocks", samples=SAMPLES, block_size=self.size,
                    batch_size=self.recipe.run.batch_size,
                )  # fmt: skip
                values["held_out_bound"] = found.per_token
            if self.problems and (section := self.recipe.evaluate):
                self._refuse_shards()
                judged = evaluate(
                    self.lm, section.task, self.problems, decoder=self.recipe.decoder, batch_size=section.batch_size,
                    max_new_tokens=section.max_new_tokens, samples=section.samples, seed=section.seed,
                )  # fmt: skip
                values["accuracy"] = judged.accuracy
        return values

    def sample(self) -> list[dict[str, Any]]:
        """Return the answers to the first held-out prompts: ``source``, ``prompt``, ``expected`` and ``text``."""
        tokenizer = self.lm.tokenizer
        assert tokenizer is not None
        with self._as_trained():
            found = generate(self.lm, [list(each.prompt) for each in self.prompts], decoder=self.recipe.decoder)
        return [
            {
                "source": each.source,
                "prompt": tokenizer.decode(list(each.prompt)),
                "expected": tokenizer.decode(list(each.answer), skip_special_tokens=True),
                "text": text,
            }
            for each, text in zip(self.prompts, found.texts, strict=True)
        ]

    @contextmanager
    def _as_trained(self) -> Iterator[None]:
        """Inside the context the model has the block size and the canvas that it will have after the run."""
        before = self.lm.facts
        size = self.recipe.run.objective.block_size or before.block_size
        self.lm.facts = replace(before, block_size=size, canvas=self.canvas)
        try:
            yield
        finally:
            self.lm.facts = before
