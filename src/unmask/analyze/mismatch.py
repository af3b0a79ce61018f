"""How far contexts that decoding never meets pull the gradient away (Blockwise SFT, arXiv 2508.19529, Theorem 3.1).

Block decoding writes a block after a clean prefix and before a hidden suffix. Vanilla training hides part of the prefix
and shows part of the suffix. The theorem bounds the distance of the two gradients of a block by

    L_pre [1 - (1 - pi)^|prefix|] + L_suf [1 - pi^|suffix|],

Lipschitz constants that nobody knows times the probabilities that some prefix token is hidden, and that some suffix
token is visible, at mask rate pi. Here the distance itself is measured, beside the two probabilities: |g - g0| / |g0|,
with g0 the gradient of the aligned loss (``blockwise`` with ``elbo`` weights: clean prefix, hidden suffix) in all
trainable parameters, over all examples and passes, and g that of the same masked tokens in another context.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.analyze.gradients import Passes, Queries
from unmask.analyze.passes import in_evaluation
from unmask.config.components import choose
from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, Noised, Objective, Scored, Want
from unmask.core.random import Draws
from unmask.data import Collator, Encoded
from unmask.errors import UserError
from unmask.models import LoadedModel
from unmask.objectives import OBJECTIVES

PREFIX_NOISE = (0.0, 0.1, 0.25, 0.5, 1.0)
SUFFIX_VISIBILITY = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """The table of one model.

    Args:
        model: name of the model.
        contexts: a row for each context: ``context`` and ``rate`` (what was changed, and how much), ``distance`` and
            ``cosine`` of its gradient to that of ``aligned``, ``norm`` of its gradient, its ``loss`` in nats a token,
            and ``prefix_chance`` and ``suffix_chance``, the probabilities of the theorem, averaged over the blocks
            that were drawn. The contexts: ``aligned``; ``prefix_noise`` and ``suffix_visibility`` at each rate;
            ``vanilla_context``, the same masked tokens as vanilla would show them at their noise level (what the
            theorem bounds); ``vanilla``, that objective as a whole (``per_sequence``, hidden tail); ``other_draws``,
            the aligned loss under another seed: how far the choice of tokens alone pulls, of which ``vanilla`` has as
            much.
    """

    model: str
    contexts: list[dict[str, Any]]

    def rows(self) -> list[dict[str, Any]]:
        """Return the table with the model's name in every row."""
        return [{"model": self.model, **row} for row in self.contexts]


def mismatch(
    lm: LoadedModel,
    examples: Sequence[Encoded],
    collator: Collator,
    *,
    passes: int = 4,
    batch_size: int = 16,
    seed: int = 0,
    prefix_noise: Sequence[float] = PREFIX_NOISE,
    suffix_visibility: Sequence[float] = SUFFIX_VISIBILITY,
    name: str = "",
    on_rows: Callable[[int], None] | None = None,
) -> Mismatch:
    """Measure the gradients of one set of masked tokens in many contexts.

    Args:
        lm: the model; its training mode is restored.
        examples: their order decides which noise each gets.
        collator: lays the examples out in rows, not packed; its blocks are those of the objective.
        passes: noise draws for each example.
        batch_size: rows read at once; the numbers do not depend on it beyond rounding.
        seed: of the draws, which all contexts share.
        prefix_noise: shares of earlier tokens that are hidden.
        suffix_visibility: shares of later tokens that are shown.
        name: name of the model.
        on_rows: called with a number of rows whenever so many more are done, of ``mismatch_rows`` in all.

    Returns:
        The table of the model.

    Raises:
        UserError: there is no example, or the model has no trainable parameter.
    """
    if not len(examples):
        raise UserError("expected at least one example to analyse, found none; check the data")
    seen = Passes(
        lm=lm, examples=examples, collator=collator, passes=passes, batch_size=batch_size, on_rows=on_rows
    )  # fmt: skip
    draws = Draws(seed=seed)
    aligned, vanilla = _blockwise(collator.block_size), choose(OBJECTIVES, {"name": "vanilla", "tail": "hidden"})
    with in_evaluation(lm):
        base = seen.gradient(aligned, draws)
        blocks = _Blocks.drawn(seen, aligned, draws)
        measured: dict[tuple[str, float | None], tuple[Queries, Draws, dict[str, float | None]]] = {}
        measured["aligned", None] = (aligned, draws, blocks.chances(0.0, 0.0))
        for rate in prefix_noise:
            changed = _blockwise(collator.block_size, prefix_noise=rate)
            measured["prefix_noise", rate] = (changed, draws, blocks.chances(rate, 0.0))
        for rate in suffix_visibility:
            changed = _blockwise(collator.block_size, suffix_visibility=rate)
            measured["suffix_visibility", rate] = (changed, draws, blocks.chances(0.0, rate))
        in_context = _VanillaContext(aligned=aligned, vanilla=vanilla)
        measured["vanilla_context", None] = (in_context, draws, blocks.vanilla_chances())
        measured["vanilla", None] = (vanilla, draws, blocks.vanilla_chances())
        measured["other_draws", None] = (aligned, Draws(seed=seed + 1), blocks.chances(0.0, 0.0))
        rows = []
        for (context, level), (objective, noise, chances) in measured.items():
            # The aligned gradient once: on a GPU a second computation need not be equal to the last bit.
            found = base if (objective, noise) == (aligned, draws) else seen.gradient(objective, noise)
            rows.append({"context": context, "rate": level, **found.beside(base), **chances})
    return Mismatch(model=name, contexts=rows)


def mismatch_rows(examples: int, passes: int) -> int:
    """Return how many rows ``mismatch`` reads at its default rates: above 0, aligned, vanilla twice, other draws."""
    contexts = sum(rate > 0 for rate in (*PREFIX_NOISE, *SUFFIX_VISIBILITY)) + 4
    return contexts * examples * passes


def _blockwise(block_size: int, **context: float) -> Objective:
    """Return the aligned objective: unbiased for the sum of the blocks' bounds, and a mean per token as vanilla's."""
    fixed = {"name": "blockwise", "block_size": block_size, "weighting": "elbo", "normaliser": "per_sequence"}
    return choose(OBJECTIVES, {**fixed, **context})


@dataclass(frozen=True, kw_only=True)
class _VanillaContext:
    """The tokens that ``aligned`` hides, their blocks as it shows them, and all else as ``vanilla`` draws it."""

    aligned: Objective
    vanilla: Objective

    @property
    def want(self) -> tuple[Want, ...]:
        """The quantities that the aligned loss needs beside the likelihoods."""
        return self.aligned.want

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return the noised batch of ``aligned`` with the context of ``vanilla`` outside the active blocks."""
        mine = self.aligned.noise(batch, model=model, draws=draws, progress=progress)
        theirs = self.vanilla.noise(batch, model=model, draws=draws, progress=progress)
        active = torch.full_like(batch.order, -1)
        active[mine.example] = batch.block[mine.query_positions[:, 0], mine.query_positions[:, 1]]
        in_block = batch.is_canvas & (batch.block == batch.spread(active))
        ids = torch.where(in_block, mine.query.ids, theirs.query.ids)
        return replace(mine, query=replace(mine.query, ids=ids))

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the loss of ``aligned``, a scalar in nats."""
        return self.aligned.loss(scored, noised)


@dataclass(frozen=True, kw_only=True)
class _Blocks:
    """The active blocks that were drawn (those with a masked token).

    Args:
        prefix: answer tokens before each block.
        suffix: canvas columns after it.
        filled: those of them that vanilla may show: not the tail.
        t: noise level of each block.
    """

    prefix: Int[Tensor, " A"]
    suffix: Int[Tensor, " A"]
    filled: Int[Tensor, " A"]
    t: Float[Tensor, " A"]

    @classmethod
    def drawn(cls, seen: Passes, objective: Queries, draws: Draws) -> "_Blocks":
        """Return the active blocks of all passes, drawn once more."""
        nothing = torch.zeros(0, dtype=torch.int64)
        found = [(nothing, nothing, nothing, nothing.float())]
        for batch, noised in seen.questions(objective, draws):
            example, first = _firsts(noised.example)
            lead = batch.lead[example]
            block = batch.block[noised.query_positions[first, 0], noised.query_positions[first, 1]]
            end = (block + 1) * batch.block_size - lead
            start = (end - batch.block_size).clamp(min=0)
            rest, kept = ((length[example] - end).clamp(min=0) for length in (batch.canvas_length, batch.filled_length))
            found.append((start.cpu(), rest.cpu(), kept.cpu(), noised.noise_level[first].cpu()))
        prefix, suffix, filled, t = (torch.cat(column) for column in zip(*found, strict=True))
        return cls(prefix=prefix, suffix=suffix, filled=filled, t=t)

    def chances(self, prefix_noise: float, suffix_visibility: float) -> dict[str, float | None]:
        """Return the probabilities that some prefix token is hidden, and that some suffix token is visible."""
        return {
            "prefix_chance": _mean(1 - (1 - prefix_noise) ** self.prefix.double()),
            "suffix_chance": _mean(1 - (1 - suffix_visibility) ** self.suffix.double()),
        }

    def vanilla_chances(self) -> dict[str, float | None]:
        """Return these probabilities for vanilla's context, where pi is the noise level of each example."""
        return {
            "prefix_chance": _mean(1 - (1 - self.t.double()) ** self.prefix),
            "suffix_chance": _mean(1 - self.t.double() ** self.filled),
        }


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def _firsts(example: Int[Tensor, " K"]) -> tuple[Int[Tensor, " A"], Int[Tensor, " A"]]:
    """Return the different examples, and the first query position of each; positions come example by example."""
    is_first = torch.ones_like(example, dtype=torch.bool)
    is_first[1:] = example[1:] != example[:-1]
    first = is_first.nonzero().squeeze(1)
    return example[first], first
