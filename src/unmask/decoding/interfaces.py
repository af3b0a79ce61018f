"""The parts of a decoder: their protocols and registries."""

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
    """What the model reads of a state, and how its answers are read back."""

    @property
    def lays_out(self) -> bool:
        """Whether it lays the text out in its own way, which no cache can follow."""
        ...

    def query(
        self, model: Denoiser, state: State, rows: Int[Tensor, " R"], query_positions: Int[Tensor, "K 2"]
    ) -> tuple[Query, Int[Tensor, "K2 2"]]:
        """Ask about (live row, column) positions."""
        ...

    def read(self, logits: Float[Tensor, "K2 V"]) -> Float[Tensor, "K V"]:
        """Reduce the model's answers to one row for each asked position."""
        ...

    def remember(
        self, model: Denoiser, query_positions: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]
    ) -> SoftTokens | None:
        """Keep of the predictions at (batch row, column) what the next query shall carry."""
        ...


@runtime_checkable
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


@runtime_checkable
class Selection(Protocol):
    """Which open places are written now."""

    @property
    def score(self) -> str:
        """Name of the measure of sureness (``unmask.decoding.scores``) that it selects by."""
        ...

    @property
    def may_wait(self) -> bool:
        """Whether it may write nothing at a step, and sees to it itself that a block comes to an end."""
        ...

    def fuse(
        self, logits: Float[Tensor, "K V"], *, memory: MemoryAccess, is_queried: Bool[Tensor, "R W"], mask_id: int
    ) -> Float[Tensor, "K V"]:
        """Change what the model said of the asked places, before anything is proposed; never in place."""
        ...

    def refine(self, candidates: Candidates) -> Candidates:
        """Change what is proposed and how sure it is, before blocks are cut and places chosen."""
        ...

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return a subset of the open places, at least one in every row that has any."""
        ...


@runtime_checkable
class BlockRule(Protocol):
    """Which part of the canvas is in play."""

    def end(self, start: Int[Tensor, " R"], state: State) -> Int[Tensor, " R"]:
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

    def slide(self, state: State) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"], Bool[Tensor, " B"]] | None:
        """Return where the active blocks of all rows begin and end after a step; None: they stay until they are full.

        A block must reach from the row's first open place on. The third says which rows' blocks count as new ones.
        """
        ...

    def sized(self, block_size: int, grid: Grid = "answer") -> "BlockRule":
        """Return the rule for the decoder's block size, and for where the model's blocks are counted from."""
        ...

    def blocks(self, canvas: int) -> int:
        """Count the blocks of a canvas, to share out a total number of steps."""
        ...


@runtime_checkable
class Revision(Protocol):
    """Which written tokens are taken back or replaced."""

    @property
    def head(self) -> str | None:
        """Name of the model's head that it reads, if any. Heads are read after forwards over whole rows only."""
        ...

    @property
    def selection(self) -> str | Mapping[str, Any] | None:
        """The selection that goes with it where none is named: a name, or a name with fields; None: any does."""
        ...

    @property
    def view(self) -> str | None:
        """Name of the view that it needs, if any."""
        ...

    @property
    def queries_written(self) -> bool:
        """Whether the model is asked about the written places of the active block, too."""
        ...

    def observe(self, model: Denoiser, queried: Int[Tensor, "K 2"]) -> Float[Tensor, " K"] | None:
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


@runtime_checkable
class Stop(Protocol):
    """When a row is finished before its canvas is full."""

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Bool[Tensor, " B"]:
        """Decide for every row; never look at prompt columns."""
        ...


@runtime_checkable
class Constraint(Protocol):
    """What the text must be."""

    def check(self, canvas: int) -> None:
        """Refuse a canvas that no allowed text fits into; before anything is read."""
        ...

    def ban(
        self, state: State, query_positions: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]
    ) -> Float[Tensor, "K V"]:
        """Take away (-inf) the tokens that no allowed text has at (row, column), given what is written."""
        ...

    def admit(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Bool[Tensor, "R W"]:
        """Keep of the chosen places some whose proposals can stand together; none: the row ends here, stuck."""
        ...


@runtime_checkable
class Search(Protocol):
    """Decoding a prompt in several rows, its particles, side by side."""

    @property
    def particles(self) -> int:
        """Rows for each prompt; those of a prompt stand together."""
        ...

    def is_met(self, is_full: Bool[Tensor, " B"], is_done: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Say which rows may go on, given those whose block is full; the others of these wait."""
        ...

    def pick(
        self, state: State, is_met: Bool[Tensor, " B"], draws: Draws, *, index: int, eos_ids: Sequence[int]
    ) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"]] | None:
        """Resample particles that have met: which row each row continues, and ``State.log_settled`` from now on.

        ``index``: steps that lie behind.
        """
        ...

    def best(self, state: State, eos_ids: Sequence[int]) -> Int[Tensor, " P"]:
        """Choose a row for each prompt in the end."""
        ...


@runtime_checkable
class Reader(Protocol):
    """Calls the model throughout one run, and remembers what it may."""

    forwards: int
    """Calls so far."""

    def logits(
        self, query: Query, query_positions: Int[Tensor, "K 2"], *, state: State, rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "K V"]:
        """Answer a view's query about the live rows of a state."""
        ...


@runtime_checkable
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
CONSTRAINTS = Registry[Constraint]("constraint")
SEARCHES = Registry[Search]("search")
CACHES = Registry[CachePolicy]("cache")
