"""How likely an answer is: bounds on its negative log-likelihood, for two orders of writing it.

A masked model that writes n tokens in a random order gives them at least this probability:

    -log p(x) <= E_{k ~ U{1..n}} E_{|M| = k} [ n/k sum_{i in M} -log p(x_i | x outside M) ]

(the likelihood evaluation of LLaDA, arXiv 2502.09992). ``any`` order: M is drawn from the whole answer, as full-canvas
training does. By ``blocks``: the bound of each block after a clean prefix and before a hidden suffix, summed over the
blocks, as block decoding writes; with blocks of one token it is exact. Both bound the same answer, so their difference
is the cost of decoding it in the other way.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from unmask.config.defaults import resolve_block_size
from unmask.core.attention import Grid
from unmask.core.batch import Example, lay_out
from unmask.core.protocols import Denoiser
from unmask.core.random import Draws
from unmask.errors import NonFiniteError, UserError
from unmask.evaluate import processes
from unmask.evaluate.statistics import ratio_error
from unmask.models import LoadedModel

Order = Literal["any", "blocks"]


@runtime_checkable
class Pair(Protocol):
    """A prompt and its answer as tokens; ``unmask.data.Encoded`` is one."""

    @property
    def prompt(self) -> Sequence[int]:
        """Tokens of the prompt, which are read and never hidden."""
        ...

    @property
    def answer(self) -> Sequence[int]:
        """Tokens that are scored, with the end token if there is one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Upper bounds on the negative log-likelihoods of some answers.

    Args:
        order: order in which they are written, ``any`` or ``blocks``.
        nats: bound of each answer, as a whole.
        errors: standard error of each that comes from drawing what is hidden, taken as if the draws were independent
            (they are stratified, which makes it smaller); 0 where all was enumerated, NaN where one was drawn.
        tokens: length of each answer.
        rows: rows that the model read.
    """

    order: Order
    nats: Float64[Tensor, " E"]
    errors: Float64[Tensor, " E"]
    tokens: Float64[Tensor, " E"]
    rows: int

    @property
    def per_token(self) -> float:
        """Nats per answer token: all nats over all tokens."""
        return float(self.nats.sum() / self.tokens.sum())

    @property
    def standard_error(self) -> float | None:
        """Standard error of ``per_token`` over examples, with the error of drawing; None for one example."""
        return ratio_error(self.nats, self.tokens)

    @property
    def drawing_error(self) -> float | None:
        """Monte Carlo part of ``standard_error``, nats per token; None where only one sample was drawn."""
        found = float(self.errors.square().sum().sqrt() / self.tokens.sum())
        return None if math.isnan(found) else found

    def summary(self) -> dict[str, Any]:
        """Return nats per token, their errors and the rows read, as JSON types."""
        return {
            "nats_per_token": self.per_token,
            "standard_error": self.standard_error,
            "drawing_error": self.drawing_error,
            "rows": self.rows,
        }


@dataclass(frozen=True, kw_only=True)
class Likelihoods:
    """Both bounds of the same answers.

    Args:
        any_order: None for a model that cannot read text hidden anywhere.
        by_block: aligned with block decoding.
        block_size: tokens of a block.
    """

    any_order: Bound | None
    by_block: Bound
    block_size: int

    @property
    def gap(self) -> tuple[float, float | None] | None:
        """``any_order`` less ``by_block``, nats per token, and the standard error of the paired difference."""
        if self.any_order is None:
            return None
        difference, tokens = self.any_order.nats - self.by_block.nats, self.by_block.tokens
        return float(difference.sum() / tokens.sum()), ratio_error(difference, tokens)

    def summary(self) -> dict[str, Any]:
        """Return both bounds, their gap and the counts behind them, as JSON types."""
        gap = self.gap
        return {
            "examples": len(self.by_block.nats),
            "tokens": int(self.by_block.tokens.sum()),
            "block_size": self.block_size,
            "any_order": self.any_order and self.any_order.summary(),
            "by_block": self.by_block.summary(),
            "gap": gap and {"nats_per_token": gap[0], "standard_error": gap[1]},
        }


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One row to read: tokens ``start`` … of an answer, of which ``is_queried`` are hidden and predicted."""

    example: int
    group: int
    start: int
    is_queried: Bool[Tensor, " n"]
    weight: float


def likelihoods(
    lm: LoadedModel, examples: Sequence[Pair], *, on_rows: Callable[[int], None] | None = None, **options: Any
) -> Likelihoods:
    """Measure both bounds. In a process group each process takes its share, and all return the whole.

    A ``UserError`` is raised for the reasons that ``likelihood_bound`` has.

    Args:
        lm: the model.
        examples: prompts and the answers to score.
        on_rows: called with the number of rows done, of ``likelihood_rows`` (by this process, while an order lasts).
        **options: those of ``likelihood_bound``, less the order.

    Returns:
        Both bounds; that in any order is None where the model has none.
    """
    done = 0

    def advance(rows: int) -> None:
        if on_rows:
            on_rows(done + rows)

    found: dict[Order, Bound] = {}
    for order in orders(lm):
        found[order] = _shared_bound(lm, examples, order=order, on_rows=advance, **options)
        done += found[order].rows
    size = resolve_block_size(decoder=options.get("block_size"), model=lm.facts.block_size)
    return Likelihoods(any_order=found.get("any"), by_block=found["blocks"], block_size=size)


def _shared_bound(lm: LoadedModel, examples: Sequence[Pair], *, order: Order, **options: Any) -> Bound:
    """Return the bound of all answers; each process reads every n-th, and draws depend on an answer's index only."""
    _check(examples, options.get("samples", 1), options.get("canvas"))  # all processes refuse, or none
    mine = range(len(examples))[processes.rank() :: processes.world()]
    found, rows = [], 0
    if mine:
        part = likelihood_bound(lm, [examples[i] for i in mine], order=order, keys=mine, **options)
        found, rows = list(zip(mine, part.nats.tolist(), part.errors.tolist(), strict=True)), part.rows
    whole = torch.tensor(sorted(processes.gather(found)), dtype=torch.float64)
    tokens = torch.tensor([len(example.answer) for example in examples], dtype=torch.float64)
    return Bound(order=order, nats=whole[:, 1], errors=whole[:, 2], tokens=tokens, rows=sum(processes.gather([rows])))


def orders(lm: LoadedModel) -> tuple[Order, ...]:
    """Return the orders in which a model can be read; only ``blocks`` if its blocks see nothing but clean blocks."""
    return ("blocks",) if lm.facts.attention == "context_causal" else ("any", "blocks")


def likelihood_rows(lm: LoadedModel, examples: Sequence[Pair], *, samples: int, block_size: int) -> int:
    """Return how many rows ``likelihoods`` reads in all, over all orders that the model can be read in."""
    return sum(bound_rows(examples, order, samples, block_size, lm.facts.grid) for order in orders(lm))


def likelihood_bound(
    lm: LoadedModel, examples: Sequence[Pair], *, block_size: int | None = None, **options: Any
) -> Bound:
    """Bound the negative log-likelihood of each answer after its prompt.

    Args:
        lm: the model.
        examples: prompts and the answers to score.
        block_size: of ``blocks``, and of the grid of models whose attention has one; default: the model's, else 32.
        **options: those of ``bound``.

    Returns:
        The bound of each answer, in nats.

    Raises:
        UserError: nothing to score, an answer that has no token or does not fit the canvas, or a model that cannot be
            read so.
    """
    if options.get("order", "any") not in orders(lm):
        raise UserError(
            "the blocks of this model see clean blocks only (attention context_causal), so that it has no likelihood "
            "in any order; ask for order='blocks'"
        )
    if lm.facts.shift and not all(len(example.prompt) for example in examples):
        raise UserError("empty prompt: a model with shifted logits needs at least one token before the answer")
    was_training = lm.model.training
    lm.model.eval()
    try:
        size = resolve_block_size(decoder=block_size, model=lm.facts.block_size)
        return bound(lm, examples, block_size=size, grid=lm.facts.grid, device=lm.device, **options)
    finally:
        lm.model.train(was_training)


@torch.inference_mode()
def bound(
    model: Denoiser,
    examples: Sequence[Pair],
    *,
    order: Order = "any",
    samples: int = 128,
    block_size: int = 32,
    grid: Grid = "answer",
    canvas: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    on_rows: Callable[[int], None] | None = None,
) -> Bound:
    """Bound the negative log-likelihood of each answer, of anything that predicts.

    Args:
        model: predicts tokens.
        examples: prompts and answers.
        order: ``any`` or by ``blocks``.
        samples: draws for each answer, or block; a count of hidden tokens for each, spread evenly. Where a block has
            no more non-empty subsets than that, all are read, and the bound has no error.
        block_size: tokens of a block.
        grid: where blocks are counted from: the first token of the ``answer``, or of the whole ``text``.
        canvas: columns of every canvas; those after the answer stay hidden and are not queried. None: the answer's, so
            that the model knows where it ends (as LLaDA's evaluation).
        batch_size: rows read at once; the numbers do not depend on it beyond rounding.
        seed: of the draws.
        keys: of each example's draws; None: its index in the sequence.
        device: of the model.
        on_rows: called with the number of rows done.

    Returns:
        The bound of each answer, in nats.

    Raises:
        NonFiniteError: a likelihood is not finite.
    """
    _check(examples, samples, canvas)
    groups = [_groups(example, order, block_size, grid) for example in examples]
    rows = _rows(examples, groups, samples, draws=Draws(seed=seed), keys=keys or range(len(examples)))
    found: list[tuple[int, int, float]] = []
    while chunk := list(islice(rows, batch_size)):
        nats = _read(model, examples, chunk, canvas=canvas, block_size=block_size, grid=grid, device=device)
        found += [(row.example, row.group, row.weight * x) for row, x in zip(chunk, nats.tolist(), strict=True)]
        if on_rows:
            on_rows(len(found))
    total = torch.zeros(len(examples), dtype=torch.float64)
    variance = torch.zeros_like(total)
    by_group: dict[tuple[int, int], list[float]] = {}
    for example, group, value in found:
        by_group.setdefault((example, group), []).append(value)
    for (example, group), values in by_group.items():
        parts = torch.tensor(values, dtype=torch.float64)
        total[example] += parts.sum()
        if not _enumerated(len(groups[example][group]), samples):
            variance[example] += len(parts) * parts.var() if len(parts) > 1 else math.nan
    if not bool(total.isfinite().all()):
        index = int((~total.isfinite()).nonzero()[0])
        source = getattr(examples[index], "source", "") or f"example {index}"
        raise NonFiniteError(
            f"{source}: expected a finite likelihood, found {float(total[index])}; the weights are damaged or their "
            "dtype is too narrow: try float32",
            [source],
        )
    tokens = torch.tensor([len(example.answer) for example in examples], dtype=torch.float64)
    return Bound(order=order, nats=total, errors=variance.sqrt(), tokens=tokens, rows=len(found))


def bound_rows(examples: Sequence[Pair], order: Order, samples: int, block_size: int, grid: Grid = "answer") -> int:
    """Return how many rows ``bound`` reads in all: at most ``samples`` for each answer, or for each block."""
    widths = (len(group) for example in examples for group in _groups(example, order, block_size, grid))
    return sum(2**width - 1 if _enumerated(width, samples) else samples for width in widths)


def _check(examples: Sequence[Pair], samples: int, canvas: int | None) -> None:
    if not len(examples):
        raise UserError("expected at least one answer to score, found none; check the data")
    if samples < 1:
        raise UserError(f"samples={samples}: expected at least 1; LLaDA's evaluation takes 128")
    for index, example in enumerate(examples):
        source = getattr(example, "source", "") or f"example {index}"
        if not len(example.answer):
            raise UserError(f"{source}: expected an answer to score, found one without tokens; leave it out")
        if canvas is not None and len(example.answer) > canvas:
            raise UserError(f"{source}: expected at most canvas={canvas} tokens, found {len(example.answer)}; raise it")


def _groups(example: Pair, order: Order, block_size: int, grid: Grid) -> list[range]:
    """Return the answer's tokens that are read together: all of them, or those of each block."""
    length = len(example.answer)
    if order == "any":
        return [range(length)]
    first = -(len(example.prompt) % block_size) if grid == "text" else 0
    return [range(max(start, 0), min(start + block_size, length)) for start in range(first, length, block_size)]


def _enumerated(width: int, samples: int) -> bool:
    return width < 31 and 2**width - 1 <= samples


def _rows(
    examples: Sequence[Pair], groups: Sequence[Sequence[range]], samples: int, *, draws: Draws, keys: Sequence[int]
) -> Iterator[_Row]:
    """Yield all rows to read, those of short examples first so that few columns are padding."""
    by_length = sorted(range(len(examples)), key=lambda i: len(examples[i].prompt) + len(examples[i].answer))
    for index in by_length:
        for group, tokens in enumerate(groups[index]):
            width = len(tokens)
            patterns = (
                _all_subsets(width)
                if _enumerated(width, samples)
                else _drawn(draws, keys[index], group, width, samples)
            )
            hidden = patterns.sum(1).tolist()
            for is_queried, k in zip(patterns, hidden, strict=True):
                chance = 1 / (width * math.comb(width, k)) if _enumerated(width, samples) else 1 / samples
                weight = chance * width / k
                yield _Row(example=index, group=group, start=tokens.start, is_queried=is_queried, weight=weight)


def _all_subsets(width: int) -> Bool[Tensor, "P n"]:
    """Return all subsets of ``width`` tokens but the empty one, [P, n]."""
    return (torch.arange(1, 2**width)[:, None] >> torch.arange(width) & 1).bool()


def _drawn(draws: Draws, key: int, group: int, width: int, samples: int) -> Bool[Tensor, "P n"]:
    """Return uniform subsets, [P, n]; their sizes run through 1 … n from a random start, so that all are covered."""
    keys, index = (torch.tensor([key]), torch.tensor([group])), torch.arange(samples)
    first = int(draws.uniform("likelihood/count", *keys) * width)
    size = 1 + (first + index * width // samples) % width
    source = torch.arange(width)
    rank = draws.uniform("likelihood/hidden", *keys, index[:, None], source).argsort(1).argsort(1)
    return rank < size[:, None]


def _read(
    model: Denoiser, examples: Sequence[Pair], rows: Sequence[_Row], *, canvas: int | None, block_size: int,
    grid: Grid, device: torch.device | str,
) -> Float64[Tensor, " R"]:  # fmt: skip
    """Return the sum of negative log-likelihoods, in nats, of the queried tokens of each row, [R]."""
    chosen = [examples[row.example] for row in rows]
    batch = lay_out(
        [
            Example(prompt=e.prompt, answer=e.answer, order=row.example, canvas=canvas or len(e.answer))
            for row, e in zip(rows, chosen, strict=True)
        ],
        block_size=block_size,
        filler_id=model.eos_ids[0],
        grid=grid,
    )  # fmt: skip
    widest = int(batch.canvas_length.max())
    is_queried, is_hidden = (
        torch.zeros(len(rows), widest, dtype=torch.bool),
        torch.zeros(len(rows), widest, dtype=torch.bool),
    )
    for index, row in enumerate(rows):
        end = row.start + len(row.is_queried)
        is_queried[index, row.start : end] = row.is_queried
        is_hidden[index, row.start : end] = row.is_queried
        is_hidden[index, end:] = True
    offset = batch.offset.clamp(min=0)
    queried = batch.is_canvas & is_queried.gather(1, offset)
    start = torch.tensor([row.start for row in rows])
    ids = torch.where(batch.is_canvas & is_hidden.gather(1, offset), model.mask_id, batch.ids)
    is_context = (~batch.is_canvas | (batch.offset < start[:, None])) & ~(batch.is_lead & (start[:, None] == 0))
    query = batch.to(device).query(ids.to(device), model.rule, is_context=is_context.to(device))
    at = queried.nonzero()
    scored = model.score(query, at.to(device), batch.ids[queried].to(device))
    return torch.zeros(len(rows), dtype=torch.float64).index_add_(0, at[:, 0], scored.nll.double().cpu())
