"""The gradient of an objective over a whole data set, and how far apart two of them are."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from unmask.analyze.passes import batches
from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, Noised, Scored, Want
from unmask.core.random import Draws
from unmask.data import Collator, Encoded
from unmask.errors import UserError
from unmask.models import LoadedModel


@runtime_checkable
class Queries(Protocol):
    """What the gradient needs of an objective: hiding tokens, and the loss of their prediction."""

    @property
    def want(self) -> tuple[Want, ...]:
        """The quantities that ``loss`` needs beside the likelihoods."""
        ...

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return a noised batch: what the model reads, which positions it predicts, their targets and weights."""
        ...

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the sum of the weighted losses, a scalar in nats."""
        ...


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """The gradient of a mean loss.

    Args:
        tensors: one tensor for each trainable parameter, float32.
        loss: the loss, nats; like the gradient the sum over all batches, divided once by the summed counts.
    """

    tensors: list[Tensor]
    loss: float

    @property
    def norm(self) -> float:
        """L2 norm of the gradient over all parameters."""
        return math.sqrt(sum(float(part.double().square().sum()) for part in self.tensors))

    def beside(self, base: "Gradient") -> dict[str, float | None]:
        """Return |g - g0| / |g0| and the cosine of the two (None where they do not exist), |g|, and the loss."""
        pairs = list(zip(self.tensors, base.tensors, strict=True))
        apart = math.sqrt(sum(float((mine - theirs).double().square().sum()) for mine, theirs in pairs))
        product = sum(float((mine.double() * theirs.double()).sum()) for mine, theirs in pairs)
        norm, base_norm = self.norm, base.norm
        return {
            "distance": apart / base_norm if base_norm else None,
            "cosine": product / (norm * base_norm) if norm and base_norm else None,
            "norm": norm,
            "loss": self.loss,
        }


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Several noise draws for every example, and a model to read them.

    Args:
        lm: the model.
        examples: example i of pass n has index n x examples + i in the global order.
        collator: lays the examples out in rows.
        passes: draws for each example.
        batch_size: rows of a batch.
        on_rows: called with a number of rows whenever so many more are done.
    """

    lm: LoadedModel
    examples: Sequence[Encoded]
    collator: Collator
    passes: int
    batch_size: int
    on_rows: Callable[[int], None] | None = None

    def questions(self, objective: Queries, draws: Draws) -> Iterator[tuple[Batch, Noised]]:
        """Noise every batch of every pass.

        Args:
            objective: hides tokens.
            draws: random numbers by example and pass.

        Yields:
            Each batch on the model's device, with its noised batch.
        """
        for number in range(self.passes):
            first = number * len(self.examples)
            for batch in batches(self.examples, self.collator, self.batch_size, first_order=first):
                placed = batch.to(self.lm.device)
                yield placed, objective.noise(placed, model=self.lm, draws=draws, progress=1.0)

    def gradient(self, objective: Queries, draws: Draws) -> Gradient:
        """Sum the gradients of all batches and divide them once.

        Args:
            objective: hides tokens and weights losses.
            draws: random numbers by example and pass.

        Returns:
            The gradient of the mean loss in all trainable parameters.

        Raises:
            UserError: the model has no trainable parameter.
        """
        trained = [weight for weight in self.lm.model.parameters() if weight.requires_grad]
        if not trained:
            raise UserError(f"{self.lm.source}: expected a model with trainable parameters, found none")
        tensors = [torch.zeros_like(weight, dtype=torch.float32) for weight in trained]
        total = count = 0.0
        for batch, noised in self.questions(objective, draws):
            scored = self.lm.score(noised.query, noised.query_positions, noised.targets, want=objective.want)
            loss = objective.loss(scored, noised)
            for part, found in zip(tensors, torch.autograd.grad(loss, trained, allow_unused=True), strict=True):
                if found is not None:
                    part.add_(found)
            total, count = total + float(loss.detach()), count + float(noised.count)
            if self.on_rows:
                self.on_rows(len(batch.order))
        return Gradient(tensors=[part.div_(max(count, 1.0)) for part in tensors], loss=total / max(count, 1.0))
