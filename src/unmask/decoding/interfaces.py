"""The components of a decoder: their protocols and registries.

Shapes: B rows of a batch, R live rows, W columns of the widest active block, K queried positions, V tokens of the
vocabulary, P prompts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.config.registry import Registry
from unmask.core.attention import Grid
from unmask.core.protocols import Denoiser, Query, SoftTokens
from unmask.core.random import Draws
from unmask.decoding.state import Candidates, Change, MemoryAccess, State


@runtime_checkable
class View(Protocol):
    """What the model reads of a state, and how its predictions are read back."""

    @property
    def lays_out(self) -> bool:
        """Whether it lays the text out in its own way, which no cache can follow."""
        ...

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], query_positions: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K2 2"]]:
        """Return what the model reads for the live rows, and where in it the positions are.

        Args:
            model: predicts tokens.
            state: what is written so far.
            rows: live rows of the state.
            query_positions: (live row, column) of the positions to predict.

        Returns:
            The query, and the (row, column) of it to predict; these may be more, which ``read`` then reduces.
        """
        ...

    def read(self, logits: Float[Tensor, "K2 V"]) -> Float[Tensor, "K V"]:
        """Return the model's logits reduced to one row for each queried position."""
        ...

    def remember(
        self, model: Denoiser, query_positions: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]
    ) -> SoftTokens | None:
        """Return what the next query needs of these predictions, or None.

        Args:
            model: made the predictions.
            query_positions: (batch row, column) of each.
            logits: the predictions at open positions.

        Returns:
            Blended embeddings, which the next state has as ``soft``.
        """
        ...


@runtime_checkable
class Proposal(Protocol):
    """How logits become tokens: ``shape``, then ``propose``; ``rank`` moves a proposal in the order of writing.

    A proposal may also have ``scores_mask``, True where scores read from shaped logits count the mask token's
    probability, as some released samplers do.
    """

    @property
    def scores_shaped(self) -> bool:
        """Whether scores are read from the shaped logits instead of the model's own."""
        ...

    def shape(self, logits: Float[Tensor, "K V"], eos_ids: Sequence[int]) -> Float[Tensor, "K V"]:
        """Return the logits tempered, filtered or with tokens banned (-inf); the mask token is banned already."""
        ...

    def propose(
        self, logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]]
    ) -> Int[Tensor, " K"]:
        """Return a token for each row of the shaped logits.

        Args:
            logits: predictions, a row for each queried position.
            draws: random numbers.
            keys: of each row's random numbers: example, step, canvas offset.

        Returns:
            Token ids.
        """
        ...

    def rank(self, score: Float[Tensor, " K"], token: Int[Tensor, " K"], eos_ids: Sequence[int]) -> Float[Tensor, " K"]:
        """Return the scores, changed for what is proposed; larger ones are written earlier.

        Args:
            score: of each proposal.
            token: that is proposed.
            eos_ids: tokens that end an answer.

        Returns:
            A score for each proposal.
        """
        ...


@runtime_checkable
class Selection(Protocol):
    """Which open positions are written now."""

    @property
    def score(self) -> str:
        """Name of the score (``unmask.decoding.scores``) that it selects by."""
        ...

    @property
    def may_wait(self) -> bool:
        """Whether it may write nothing at a step; then it has to see to it that every block comes to an end."""
        ...

    def fuse(
        self, logits: Float[Tensor, "K V"], *, memory: MemoryAccess, is_queried: Bool[Tensor, "R W"], mask_id: int
    ) -> Float[Tensor, "K V"]:
        """Return the logits to propose from; those given are not changed in place.

        Args:
            logits: predictions at the queried positions.
            memory: what was remembered of earlier steps, and where to remember more.
            is_queried: which positions of the active blocks the logits are of, in row-major order.
            mask_id: the mask token.

        Returns:
            Logits of the same shape.
        """
        ...

    def refine(self, candidates: Candidates) -> Candidates:
        """Return the candidates with other tokens or scores, before blocks are cut and positions chosen."""
        ...

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return a subset of the open positions, at least one in every row that has any."""
        ...


@runtime_checkable
class BlockRule(Protocol):
    """How the canvas is cut into blocks, one of which is active in each row."""

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
        """Return the canvas offsets where blocks that start at the offsets ``start`` end at the latest."""
        ...

    def cut(self, candidates: Candidates) -> Int[Tensor, " R"] | None:
        """Return how wide blocks that have just begun shall be, given the predictions for them; None: as ``end`` said.

        A block always reaches its first open position.

        Args:
            candidates: proposals for all active blocks; ``block_steps`` is 0 where a block has just begun.

        Returns:
            Columns of each block, read for new blocks only.
        """
        ...

    @property
    def block_size(self) -> int | None:
        """The size that the rule itself sets, in columns, or None."""
        ...

    def slide(self, state: State) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"], Bool[Tensor, " B"]] | None:
        """Return where the active blocks of all rows begin and end after a step; None: they stay until they are full.

        A block must reach from the row's first open position on.

        Args:
            state: after the step.

        Returns:
            Canvas offsets of begin and end, and whether each row's block counts as a new one.
        """
        ...

    def sized(self, block_size: int, grid: Grid = "answer") -> "BlockRule":
        """Return the rule for the decoder's block size, columns, and the grid by which the model counts blocks."""
        ...

    def blocks(self, canvas: int) -> int:
        """Return the number of blocks of a canvas of so many columns, to share out a total number of steps."""
        ...


@runtime_checkable
class Revision(Protocol):
    """Which written tokens are taken back or replaced."""

    @property
    def head(self) -> str | None:
        """Name of the model's head that it reads, or None. Heads are read after forwards over whole rows only."""
        ...

    @property
    def selection(self) -> str | Mapping[str, Any] | None:
        """The selection that goes with it where none is named: a name, or a name with fields; None: any does."""
        ...

    @property
    def view(self) -> str | None:
        """Name of the view that it needs, or None."""
        ...

    @property
    def queries_written(self) -> bool:
        """Whether the model is queried at the written positions of the active block, too."""
        ...

    def observe(self, model: Denoiser, queried: Int[Tensor, "K 2"]) -> Float[Tensor, " K"] | None:
        """Return a head's logits at the queried (row, column) of the last forward; None: it reads no head."""
        ...

    def revise(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Change:
        """Return what the step does, within the active blocks and ``State.is_ours``.

        Args:
            state: before the step.
            candidates: proposals for the active blocks.
            chosen: open positions that the selection chose.

        Returns:
            What is written, and what is hidden again.
        """
        ...

    def holds(self, state: State, changed: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return which rows' blocks may still change: such a row neither moves on nor ends.

        Args:
            state: after the step.
            changed: rows in which the step changed something.

        Returns:
            Whether each row is held.
        """
        ...


@runtime_checkable
class Stop(Protocol):
    """When a row is finished before its canvas is full."""

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Bool[Tensor, " B"]:
        """Return whether each row is finished; tokens of prompts do not count."""
        ...


@runtime_checkable
class Constraint(Protocol):
    """What the text of an answer must be."""

    def check(self, canvas: int) -> None:
        """Raise a UserError if no allowed text fits into a canvas of so many columns; called before any forward."""
        ...

    def ban(
        self, state: State, query_positions: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]
    ) -> Float[Tensor, "K V"]:
        """Return the logits with -inf for tokens that no allowed text has there, given what is written.

        Args:
            state: what is written so far.
            query_positions: (batch row, column) of each prediction.
            logits: predictions there.

        Returns:
            Logits of the same shape.
        """
        ...

    def admit(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Bool[Tensor, "R W"]:
        """Return the chosen positions whose proposals can stand together; a row without any ends here, stuck.

        Args:
            state: before the step.
            candidates: proposals for the active blocks.
            chosen: what is to be written.

        Returns:
            A subset of ``chosen``.
        """
        ...


@runtime_checkable
class Search(Protocol):
    """Decoding a prompt in several rows, its particles, side by side."""

    @property
    def particles(self) -> int:
        """Number of rows for each prompt; those of a prompt are neighbours."""
        ...

    def is_met(self, is_full: Bool[Tensor, " B"], is_done: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Return which of the rows whose block is full may go on; the others of these wait."""
        ...

    def pick(
        self, state: State, is_met: Bool[Tensor, " B"], draws: Draws, *, index: int, eos_ids: Sequence[int]
    ) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"]] | None:
        """Return the row that each row continues, and ``State.log_resampled`` from now on; None: all go on as they are.

        Args:
            state: what is written so far.
            is_met: rows whose particles have all filled their block.
            draws: random numbers.
            index: steps before this one.
            eos_ids: tokens that end an answer.

        Returns:
            Rows and log probabilities, a number for each row; or None.
        """
        ...

    def best(self, state: State, eos_ids: Sequence[int]) -> Int[Tensor, " P"]:
        """Return the row of each prompt that is its answer, at the end."""
        ...


@runtime_checkable
class Reader(Protocol):
    """Calls the model throughout one run; it may remember keys and values."""

    forwards: int
    """Calls of the model so far."""

    def logits(
        self, query: Query, query_positions: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Return the logits of a view's query.

        Args:
            query: what the model reads.
            query_positions: (row, column) of the predictions.
            state: the state that the query shows.
            rows: its live rows.

        Returns:
            Logits, in the order of the positions.
        """
        ...


@runtime_checkable
class CachePolicy(Protocol):
    """How the model is called: what is read again at each forward, and what is kept."""

    @property
    def is_exact(self) -> bool:
        """Whether the predictions are those of a model that reads everything at every forward."""
        ...

    def open(self, model: Denoiser) -> Reader:
        """Return the reader of a run; a model that the cache is not made for raises a UserError."""
        ...


VIEWS = Registry[View]("view")
PROPOSALS = Registry[Proposal]("proposal")
SELECTIONS = Registry[Selection]("selection")
BLOCK_RULES = Registry[BlockRule]("block rule")
REVISIONS = Registry[Revision]("revision")
STOPS = Registry[Stop]("stop")
CONSTRAINTS = Registry[Constraint]("constraint")
SEARCHES = Registry[Search]("search")
CACHES = Registry[CachePolicy]("cache")
