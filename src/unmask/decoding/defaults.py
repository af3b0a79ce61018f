"""What a decoder does by default: one class for each component, and the neutral halves of others.

The model reads the canvas as it is; the tokens of the active block with the highest scores are written, a fixed number
a step, by LLaDA's sampler; blocks have one size; what is written stays; a row ends at its end token; nothing is cached.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from pydantic import AfterValidator, Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.attention import CLEAN, OPEN, Grid
from unmask.core.protocols import Denoiser, Query, SoftTokens
from unmask.core.random import Draws
from unmask.decoding.interfaces import (
    BLOCK_RULES,
    CACHES,
    CONSTRAINTS,
    PROPOSALS,
    REVISIONS,
    SEARCHES,
    SELECTIONS,
    STOPS,
    VIEWS,
    Reader,
)
from unmask.decoding.row_groups import cut, groups
from unmask.decoding.scores import check_score, in_chunks, top
from unmask.decoding.state import Candidates, Change, MemoryAccess, State


@VIEWS.register("canvas")
@component
class CanvasView:
    """The model reads the live rows whole: prompt, written tokens, masks to the end of the canvas."""

    lays_out: ClassVar[bool] = False

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], query_positions: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K 2"]]:
        """Return the live rows; all blocks of the model's grid that end before the active block begins are context."""
        # A block that began within one of these (a window that slides, a cut) must go on seeing what is written there.
        whole = state.batch.query(state.ids, model.rule)
        block = whole.columns.block
        first = (state.prompt_length + state.block_start).clamp(max=block.shape[1] - 1)
        is_context = (block < block.gather(1, first[:, None])) & ~state.batch.is_pad
        whole = replace(whole, columns=replace(whole.columns, stream=torch.where(is_context, CLEAN, OPEN)))
        return replace(whole, ids=whole.ids[rows], columns=whole.columns[rows]), query_positions

    def read(self, logits: Float[Tensor, "K V"]) -> Float[Tensor, "K V"]:
        """Return the logits unchanged: there is one row for each queried position."""
        return logits

    def remember(
        self, model: Denoiser, query_positions: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]
    ) -> SoftTokens | None:
        """Return None: the next query needs nothing of these predictions."""
        del model, query_positions, logits
        return None


class ProposalDefaults:
    """The neutral half of a proposal: drawn from and scored by the model's own logits."""

    @property
    def scores_shaped(self) -> bool:
        """False: scores are read from the model's own logits."""
        return False

    def shape(self, logits: Float[Tensor, "K V"], eos_ids: Sequence[int]) -> Float[Tensor, "K V"]:
        """Return the logits unchanged: every token may be proposed."""
        del eos_ids
        return logits

    def rank(self, score: Float[Tensor, " K"], token: Int[Tensor, " K"], eos_ids: Sequence[int]) -> Float[Tensor, " K"]:
        """Return the scores unchanged: no token is preferred."""
        del token, eos_ids
        return score


@PROPOSALS.register("greedy")
@component
class Greedy(ProposalDefaults):
    """The most likely token."""

    def propose(
        self, logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]]
    ) -> Int[Tensor, " K"]:
        """Return the most likely token of each row."""
        del draws, keys
        return logits.argmax(-1)


@PROPOSALS.register("gumbel")
@component
class Gumbel(ProposalDefaults):
    """An exact sample from softmax(logits / temperature): argmax of logits + temperature * Gumbel noise.

    Drawn in float64: low precision lowers the effective temperature (arXiv 2409.02908). The noise is keyed by
    (row, forward, offset, token), so a row's text does not depend on its neighbours.

    Args:
        temperature: 0 is greedy.
    """

    temperature: Annotated[float, Field(ge=0)] = 1.0

    def propose(
        self, logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]]
    ) -> Int[Tensor, " K"]:
        """Return a sample from softmax(logits / temperature) of each row; the most likely token if that is 0."""
        if self.temperature == 0:
            return logits.argmax(-1)
        return sample(logits, draws, keys, temperature=self.temperature)


def sample(
    logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]], *, temperature: float = 1.0
) -> Int[Tensor, " K"]:
    """Return an exact sample from softmax(logits / temperature) of each row, by the numbers of its ``keys``."""
    vocabulary = torch.arange(logits.shape[-1], device=logits.device)[None, :]
    columns = torch.stack([key.expand(len(logits)) for key in keys], dim=1)
    tokens = []
    for some, key in zip(in_chunks(logits), in_chunks(columns, like=logits), strict=True):
        uniform = draws.uniform("gumbel", *(each[:, None] for each in key.unbind(1)), vocabulary)
        noise = -torch.log(-torch.log(uniform.clamp(min=2.0**-54)))
        tokens.append((some.double() + temperature * noise).argmax(-1))
    return torch.cat(tokens)


class SelectionDefaults:
    """The neutral half of a selection: logits and candidates stay as they are."""

    may_wait: ClassVar[bool] = False

    def fuse(
        self, logits: Float[Tensor, "K V"], *, memory: MemoryAccess, is_queried: Bool[Tensor, "R W"], mask_id: int
    ) -> Float[Tensor, "K V"]:
        """Return the logits unchanged: nothing is remembered of earlier steps."""
        del memory, is_queried, mask_id
        return logits

    def refine(self, candidates: Candidates) -> Candidates:
        """Return the candidates unchanged."""
        return candidates


@SELECTIONS.register("quota")
@component
class Quota(SelectionDefaults):
    """Write the quota's tokens of the highest score (LLaDA, arXiv 2502.09992, Algorithm 5 and its generate.py).

    A block with n open positions and s steps writes n // s tokens a step, one more in each of the first n mod s steps.

    Args:
        score: a name of ``unmask.decoding.scores``: ``low_confidence``, ``entropy``, ``margin``, ``random``, …

    Differs from the paper: steps whose quota is 0 (s > n) are not run; ties go to the leftmost position; the mask token
    is never proposed.
    """

    score: Annotated[str, AfterValidator(check_score)] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the open positions of the highest scores, as many as the quota of this step."""
        return top(candidates.score, candidates.is_open, share(candidates))


def share(candidates: Candidates) -> Int[Tensor, " R"]:
    """Return how many positions each row writes at this step, so that a block takes ``steps``; None: one a step."""
    opened = candidates.block_open
    if candidates.shared_out is not None:
        opened = torch.full_like(opened, candidates.shared_out)
    planned = opened if candidates.steps is None else opened.clamp(max=candidates.steps)
    planned = planned.clamp(min=1)
    quota = opened // planned + (candidates.block_steps < opened % planned).long()
    return torch.clamp(quota, min=1)


@BLOCK_RULES.register("fixed")
@component
class Fixed:
    """Blocks of one size; the last may be shorter.

    Args:
        block_size: S; None is the decoder's.
        grid: counted from the first token of the ``answer``, or of the whole ``text``, so that the first block holds
            what the prompt leaves of it (SDAR); None: as the model was trained.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    grid: Grid | None = None

    def slide(self, state: State) -> None:
        """Return None: blocks stay until they are full."""
        del state

    def sized(self, block_size: int, grid: Grid = "answer") -> "Fixed":
        """Return the rule with the decoder's block size and, unless it has its own, the model's grid."""
        return Fixed(block_size=block_size, grid=self.grid or grid)

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
        """Return the offset S columns on, or the next line of the grid; at most the end of the canvas."""
        end = start + self._size()
        if self.grid == "text":
            end = end - (state.prompt_length + start) % self._size()
        return torch.minimum(end, state.batch.canvas_length)

    def cut(self, candidates: Candidates) -> None:
        """Return None: blocks end where ``end`` put them."""
        del candidates

    def blocks(self, canvas: int) -> int:
        """Return canvas / S, rounded up."""
        return math.ceil(canvas / self._size())

    def _size(self) -> int:
        if self.block_size is None:
            raise ValueError("a fixed block rule without a size; take it from Decoder.resolve() or give block_size")
        return self.block_size


class RevisionDefaults(ABC):
    """The neutral half of a revision: it reads no head, and is over with its block."""

    head: ClassVar[str | None] = None

    @property
    @abstractmethod
    def queries_written(self) -> bool:
        """Whether the model is queried at the written positions of the active block, too."""
        ...

    def observe(self, model: Denoiser, queried: Int[Tensor, "K 2"]) -> None:
        """Return None: no head is read."""
        del model, queried

    def holds(self, state: State, changed: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return whether each row's block has open positions, if tokens are ever taken back; else False."""
        del changed
        return state.has_open if self.queries_written else torch.zeros_like(state.is_done)


@REVISIONS.register("none")
@component
class NoRevision(RevisionDefaults):
    """A written token is final."""

    selection: ClassVar[str | None] = None
    view: ClassVar[str | None] = None

    @property
    def queries_written(self) -> bool:
        """False: a written token is not looked at again."""
        return False

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Return the change that writes what was chosen and hides nothing."""
        del state, candidates
        return Change(write=chosen, hide=torch.zeros_like(chosen))


@STOPS.register("eos")
@component
class Eos:
    """A row ends once an end token is written and no open position precedes it."""

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Bool[Tensor, " B"]:
        """Return whether the first end token of each canvas is before its first open position."""
        batch = state.batch
        is_eos = torch.isin(state.ids, torch.tensor(list(eos_ids), dtype=torch.int64, device=state.ids.device))
        is_end = batch.is_canvas & ~state.is_open & is_eos
        beyond = batch.ids.shape[1]
        first_end = torch.where(is_end, batch.offset, beyond).amin(1)
        first_open = torch.where(state.is_open, batch.offset, beyond).amin(1)
        return (first_end < beyond) & (first_end < first_open)


@STOPS.register("never")
@component
class Never:
    """The whole canvas is filled."""

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Bool[Tensor, " B"]:
        """Return False for every row: it ends when its canvas is full."""
        del eos_ids
        return torch.zeros_like(state.is_done)


@CONSTRAINTS.register("none")
@component
class Unconstrained:
    """Any text is allowed."""

    def check(self, canvas: int) -> None:
        """Accept a canvas of any size."""
        del canvas

    def ban(
        self, state: State, query_positions: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]
    ) -> Float[Tensor, "K V"]:
        """Return the logits unchanged: no token is forbidden."""
        del state, query_positions
        return logits

    def admit(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Bool[Tensor, "R W"]:
        """Return the chosen positions unchanged: all can stand together."""
        del state, candidates
        return chosen


@SEARCHES.register("none")
@component
class NoSearch:
    """Each prompt is decoded once."""

    particles: ClassVar[int] = 1

    def is_met(self, is_full: Bool[Tensor, " B"], is_done: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return the rows whose block is full: none waits for another."""
        del is_done
        return is_full

    def pick(
        self, state: State, is_met: Bool[Tensor, " B"], draws: Draws, *, index: int, eos_ids: Sequence[int]
    ) -> None:
        """Return None: all rows go on as they are."""
        del state, is_met, draws, index, eos_ids

    def best(self, state: State, eos_ids: Sequence[int]) -> Int[Tensor, " B"]:
        """Return all rows: each prompt has one."""
        del eos_ids
        return torch.arange(len(state.is_done), device=state.is_done.device)


@CACHES.register("none")
@component
class NoCache:
    """Every step reads everything. Exact, for every model.

    On a CPU, rows of a batch whose lengths differ much are read in groups: a step is then several forwards.
    """

    is_exact: ClassVar[bool] = True

    def open(self, model: Denoiser) -> Reader:
        """Return a reader that remembers nothing."""
        return UncachedReader(model)


class UncachedReader:
    """Reads every query as it is."""

    def __init__(self, model: Denoiser) -> None:
        self.model = model
        self.forwards = 0

    def logits(
        self, query: Query, query_positions: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Return the model's logits, from one call for each group of rows of nearly one length."""
        del state
        split = groups(self.model, query) if len(query.ids) > 1 else [rows]
        self.forwards += len(split)
        if len(split) == 1:
            return self.model.logits(query, query_positions)
        found = [(self.model.logits(part, queried), mine) for part, queried, mine in cut(query, query_positions, split)]
        logits = found[0][0].new_empty(len(query_positions), found[0][0].shape[1])
        for answers, mine in found:
            logits[mine] = answers
        return logits
