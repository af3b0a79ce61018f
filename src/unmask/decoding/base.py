"""The parts of a decoder: their registries, what they see, and what a step leaves behind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.canvas import Batch
from unmask.registry import Registry
from unmask.seeds import Draws
from unmask.types import Denoiser, Query, SoftTokens


@dataclass(frozen=True, kw_only=True)
class State:
    """Where decoding stands. Rows are independent: each has its own block and its own end.

    Args:
        batch: the layout; its canvas columns are what is decoded.
        ids: tokens so far, the mask token where open.
        is_open: canvas columns that are not written yet.
        is_ours: canvas columns that decoding fills; the others were given (infilling) and never change.
        block_start: canvas offset at which the row's active block begins.
        block_end: canvas offset at which it ends.
        block_open: open columns of the active block when it became active.
        block_steps: forwards spent on the active block so far.
        full_steps: forwards spent on it since it was full, where a revision keeps it active.
        is_held: rows whose active block the revision may still change.
        is_done: rows that are finished.
        soft: what the view remembers of the last predictions; (row, column) in the batch.
    """

    batch: Batch
    ids: Int[Tensor, "B L"]
    is_open: Bool[Tensor, "B L"]
    is_ours: Bool[Tensor, "B L"]
    block_start: Int[Tensor, " B"]
    block_end: Int[Tensor, " B"]
    block_open: Int[Tensor, " B"]
    block_steps: Int[Tensor, " B"]
    full_steps: Int[Tensor, " B"]
    is_held: Bool[Tensor, " B"]
    is_done: Bool[Tensor, " B"]
    soft: SoftTokens | None = None


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The active blocks of the live rows, side by side; W is the widest block.

    Args:
        rows: which rows of the state are live.
        columns: column of the state behind each place; clamped where a block is narrower than W.
        width: columns of each block.
        canvas: columns of each row's canvas.
        is_open: places that may be written now.
        is_asked: places that the model answered about: the open ones, and the written ones that the revision asks for.
        token: proposed token; 0 where not asked.
        score: how sure the proposal is, by the selection's measure; -inf where not asked.
        measure: gives any measure of ``unmask.decoding.scores`` by its name, in the same form.
        trust: what the revision's head says of each place, if it has one; -inf where not asked.
        block_open: open places when the block became active.
        block_steps: forwards spent on the block before this one.
    """

    rows: Int[Tensor, " R"]
    columns: Int[Tensor, "R W"]
    width: Int[Tensor, " R"]
    canvas: Int[Tensor, " R"]
    is_open: Bool[Tensor, "R W"]
    is_asked: Bool[Tensor, "R W"]
    token: Int[Tensor, "R W"]
    score: Float[Tensor, "R W"]
    measure: Callable[[str], Float[Tensor, "R W"]]
    block_open: Int[Tensor, " R"]
    block_steps: Int[Tensor, " R"]
    trust: Float[Tensor, "R W"] | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a step does to the active blocks.

    Args:
        write: places that take their proposed token: open ones, or written ones whose token is replaced.
        hide: written places that are taken back.
    """

    write: Bool[Tensor, "R W"]
    hide: Bool[Tensor, "R W"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One forward and what it wrote; the live view, the metrics and the tests read this trace.

    Args:
        index: forwards before this one.
        at: (row, canvas offset) of each committed token.
        tokens: what was written there.
        scores: its score by the selection's measure.
        taken_back: (row, canvas offset) of each token that was hidden again or, where ``at`` names it too, replaced.
        live: rows that this forward read.
        state: after the step.
    """

    index: int
    at: Int[Tensor, "M 2"]
    tokens: Int[Tensor, " M"]
    scores: Float[Tensor, " M"]
    taken_back: Int[Tensor, "D 2"]
    live: Int[Tensor, " R"]
    state: State


class View(Protocol):
    """What the model reads of a state, and how its answers are read back."""

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], at: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K2 2"]]:
        """Ask about (live row, column) positions."""
        ...

    def read(self, logits: Float[Tensor, "K2 V"]) -> Float[Tensor, "K V"]:
        """Reduce the model's answers to one row for each asked position."""
        ...

    def remember(self, model: Denoiser, at: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]) -> SoftTokens | None:
        """Keep of the predictions at (batch row, column) what the next query shall carry."""
        ...


class Proposal(Protocol):
    """Logits to tokens: shape, propose, rank."""

    @property
    def scores_shaped(self) -> bool:
        """Whether scores are read from the shaped logits instead of the model's own."""
        ...

    def shape(self, logits: Float[Tensor, "K V"], eos_ids: Sequence[int]) -> Float[Tensor, "K V"]:
        """Temper, filter or ban; the mask token is banned already."""
        ...

    def propose(
        self, logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]]
    ) -> Int[Tensor, " K"]:
        """Choose a token for each row of the shaped logits; ``keys`` identify the row's random numbers."""
        ...

    def rank(self, score: Float[Tensor, " K"], token: Int[Tensor, " K"], eos_ids: Sequence[int]) -> Float[Tensor, " K"]:
        """Move proposals in the ranking for what they are."""
        ...


class Selection(Protocol):
    """Which open places are written now."""

    @property
    def score(self) -> str:
        """Name of the measure of sureness (``unmask.decoding.scores``) that it selects by."""
        ...

    def select(self, candidates: Candidates, *, steps: int | None) -> Bool[Tensor, "R W"]:
        """Return a subset of the open places, at least one in every row that has any.

        ``steps``: forwards a block may take.
        """
        ...


class BlockRule(Protocol):
    """Which part of the canvas is in play."""

    def end(self, start: Int[Tensor, " R"], canvas: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """Return where blocks that start at these offsets end at the latest."""
        ...

    def cut(self, candidates: Candidates) -> Int[Tensor, " R"] | None:
        """Return how wide the blocks shall be, given the first predictions for them; None: as ``end`` said.

        Read for blocks that have just begun. A block always reaches its first open place.
        """
        ...

    @property
    def block_size(self) -> int | None:
        """The size that the rule itself asks for, or None."""
        ...

    def sized(self, block_size: int) -> "BlockRule":
        """Return the rule for the decoder's block size."""
        ...

    def blocks(self, canvas: int) -> int:
        """Count the blocks of a canvas, to share out a total number of steps."""
        ...


class Revision(Protocol):
    """Which written tokens are taken back or replaced."""

    @property
    def head(self) -> str | None:
        """Name of the model's head that it reads, if any. Heads are read after forwards over whole rows only."""
        ...

    @property
    def asks_written(self) -> bool:
        """Whether the model is asked about the written places of the active block, too."""
        ...

    def observe(self, model: Denoiser, asked: Int[Tensor, "K 2"]) -> Float[Tensor, " K"] | None:
        """Read a head at the asked (row, column) of the query that was just answered; ``Candidates.trust``."""
        ...

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Turn the selection's choice into what the step does, within the active block and ``State.is_ours``.

        ``state`` is that before the step.
        """
        ...

    def holds(self, state: State, changed: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Say which rows' blocks may still change, so that the row neither moves on nor ends.

        ``state`` is that after the step, which changed something in the rows ``changed``.
        """
        ...


class Stop(Protocol):
    """When a row is finished before its canvas is full."""

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Bool[Tensor, " B"]:
        """Decide for every row; never look at prompt columns."""
        ...


class Reader(Protocol):
    """Calls the model throughout one run, and remembers what it may."""

    def logits(
        self, query: Query, at: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Answer a view's query about the live rows of a state."""
        ...


class CachePolicy(Protocol):
    """How the model is called."""

    @property
    def is_exact(self) -> bool:
        """Whether the answers are those of a model that reads everything at every forward."""
        ...

    def open(self, model: Denoiser) -> Reader:
        """Start a run; refuse a model that the cache is not made for."""
        ...


VIEWS = Registry[View]("view")
PROPOSALS = Registry[Proposal]("proposal")
SELECTIONS = Registry[Selection]("selection")
BLOCK_RULES = Registry[BlockRule]("block rule")
REVISIONS = Registry[Revision]("revision")
STOPS = Registry[Stop]("stop")
CACHES = Registry[CachePolicy]("cache")


def top(score: Float[Tensor, "R W"], is_open: Bool[Tensor, "R W"], quota: Int[Tensor, " R"]) -> Bool[Tensor, "R W"]:
    """Pick the ``quota`` best open places of each row; ties go to the lowest index (``topk`` promises no order)."""
    return is_open & (ranks(score, is_open) < quota[:, None])


def ranks(score: Float[Tensor, "R W"], is_open: Bool[Tensor, "R W"]) -> Int[Tensor, "R W"]:
    """Number the open places of each row from the best, 0, to the worst; closed places come last."""
    by_score = score.argsort(dim=-1, descending=True, stable=True)
    open_first = is_open.gather(1, by_score).long().argsort(dim=-1, descending=True, stable=True)
    return by_score.gather(1, open_first).argsort(dim=-1)
