"""What the components of a decoder see, what a step does, and what it leaves behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.core.batch import Batch
from unmask.core.protocols import SoftTokens


@dataclass(frozen=True, kw_only=True)
class BlockMemory:
    """Values that a component remembers of the active blocks, for each row.

    Args:
        start: canvas offset of each row's first column here; -1 where nothing is known of the row.
        width: columns that are known of each row.
        values: a row for each row of the state, a column for each column of its block; any further axes.
    """

    start: Int[Tensor, " B"]
    width: Int[Tensor, " B"]
    values: Tensor

    def take(self, index: Int[Tensor, " B"]) -> "BlockMemory":
        """Return the memory in which each row has what is remembered of row ``index``."""
        return BlockMemory(start=self.start[index], width=self.width[index], values=self.values[index])


BlockMemories = Mapping[str, BlockMemory]


class MemoryAccess:
    """The memory, seen from one step: rows are the live ones, columns those of their active blocks.

    Args:
        memory: what was remembered.
        rows: live rows.
        start: canvas offset of each live row's block.
        width: columns of each block.
        columns: columns of the widest.
    """

    def __init__(
        self,
        memory: BlockMemories,
        *,
        rows: Int[Tensor, " R"],
        start: Int[Tensor, " R"],
        width: Int[Tensor, " R"],
        columns: int,
    ) -> None:
        self.memory, self.rows, self.start, self.width, self.columns = memory, rows, start, width, columns
        self._kept: dict[str, Tensor] = {}

    def recall(self, name: str) -> tuple[Tensor, Bool[Tensor, "R W"]] | None:
        """Return what was kept, zeros where nothing was, and where something was, [R, W]; None: it never was kept.

        Columns are known by their canvas offset: a block that moves on or slides takes along what it still covers.

        Args:
            name: under which the values were kept.

        Returns:
            Values, [R, W, ...], and whether each is known; or None.
        """
        if name not in self.memory:
            return None
        one = self.memory[name]
        start, width, values = one.start[self.rows], one.width[self.rows], one.values
        column = torch.arange(self.columns, device=self.rows.device) + (self.start - start)[:, None]
        is_known = (start >= 0)[:, None] & (column >= 0) & (column < width[:, None])
        column = column.clamp(min=0, max=values.shape[1] - 1)
        found = values[self.rows[:, None], column]
        return torch.where(is_known.view(*is_known.shape, *[1] * (found.ndim - 2)), found, 0), is_known

    def keep(self, name: str, values: Tensor) -> None:
        """Remember ``values[R, W, ...]`` of the columns until the next step, under ``name``."""
        self._kept[name] = values

    def written(self, rows: int) -> BlockMemories:
        """Return the memory for the next step, for a state of so many rows; what was not kept is forgotten."""
        memory = {}
        for name, values in self._kept.items():
            start = self.start.new_full((rows,), -1)
            width = self.width.new_zeros(rows)
            start[self.rows], width[self.rows] = self.start, self.width
            whole = values.new_zeros(rows, *values.shape[1:])
            whole[self.rows] = values
            memory[name] = BlockMemory(start=start, width=width, values=whole)
        return memory


@dataclass(frozen=True, kw_only=True)
class State:
    """What is written, and where each row stands. Rows are independent: each has its own block and its own end.

    Args:
        batch: the layout; its canvas columns are what is decoded.
        ids: tokens so far, the mask token where open.
        is_open: canvas columns that are not written yet.
        is_ours: canvas columns that decoding fills; the others were given (infilling) and never change.
        block_start: canvas offset at which the row's active block begins.
        block_end: canvas offset at which it ends.
        block_open: open columns of the active block when it became active.
        block_left: open columns of the whole canvas then.
        block_steps: forwards spent on the active block so far.
        full_steps: forwards spent on it since it was full, where a revision keeps it active.
        is_held: rows whose active block the revision may still change.
        is_waiting: rows whose block is full and who wait for the other particles of their prompt.
        is_done: rows that are finished.
        is_stuck: rows that ended because nothing that the constraint allows was left to write.
        log_prob: log probability that each token had when it was written; 0 elsewhere.
        log_resampled: log probability of the row's answer when it was last resampled; 0 before.
        soft: what the view remembers of the last predictions; (row, column) in the batch.
        memory: what components remember of the active blocks.
        steps: forwards that a block may take; None: one for each open column.
        shared_out: columns that the steps are shared out over, whatever the prompt fills of them; None: the open ones.
    """

    batch: Batch
    ids: Int[Tensor, "B L"]
    is_open: Bool[Tensor, "B L"]
    is_ours: Bool[Tensor, "B L"]
    block_start: Int[Tensor, " B"]
    block_end: Int[Tensor, " B"]
    block_open: Int[Tensor, " B"]
    block_left: Int[Tensor, " B"]
    block_steps: Int[Tensor, " B"]
    full_steps: Int[Tensor, " B"]
    is_held: Bool[Tensor, " B"]
    is_waiting: Bool[Tensor, " B"]
    is_done: Bool[Tensor, " B"]
    is_stuck: Bool[Tensor, " B"]
    log_prob: Float[Tensor, "B L"]
    log_resampled: Float[Tensor, " B"]
    soft: SoftTokens | None = None
    memory: BlockMemories = field(default_factory=dict)
    steps: int | None = None
    shared_out: int | None = None

    @property
    def prompt_length(self) -> Int[Tensor, " B"]:
        """Number of columns before the canvas of each row."""
        return self.batch.is_canvas.long().argmax(1)

    @property
    def is_in_block(self) -> Bool[Tensor, "B L"]:
        """Whether each column is in its row's active block."""
        offset = self.batch.offset
        return (offset >= self.block_start[:, None]) & (offset < self.block_end[:, None])

    @property
    def has_open(self) -> Bool[Tensor, " B"]:
        """Whether each row's active block has open columns."""
        return (self.is_open & self.is_in_block).any(1)

    def take(self, index: Int[Tensor, " B"]) -> "State":
        """Return the state in which each row goes on from row ``index``, with what is remembered of that row."""
        memory = {name: one.take(index) for name, one in self.memory.items()}
        soft = None if self.soft is None else _taken(self.soft, index)
        return replace(self, **self._by_row(index), soft=soft, memory=memory)

    def shown(self, index: Int[Tensor, " R"]) -> "State":
        """Return the state of rows as a batch of their own, any number of times each; nothing is remembered of them."""
        batch = self.batch
        by_example = ("order", "text_length", "filled_length", "canvas_length", "wanted_length")
        shown = replace(batch.rows(index), **{name: getattr(batch, name)[index] for name in by_example})
        return replace(self, **self._by_row(index), batch=shown, soft=None, memory={})

    def _by_row(self, index: Int[Tensor, " R"]) -> dict[str, Any]:
        kept = ("batch", "soft", "memory", "steps", "shared_out")
        return {each.name: getattr(self, each.name)[index] for each in fields(self) if each.name not in kept}


def _taken(soft: SoftTokens, index: Int[Tensor, " B"]) -> SoftTokens:
    """Return blends of which each row has those of row ``index``."""
    row, entry = (index[:, None] == soft.query_positions[:, 0]).nonzero().unbind(1)
    return SoftTokens(
        query_positions=torch.stack([row, soft.query_positions[entry, 1]], dim=1),
        ids=soft.ids[entry],
        weights=soft.weights[entry],
    )


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The active blocks of the live rows, side by side; W is the widest block.

    Args:
        rows: which rows of the state are live.
        columns: column of the state behind each position; clamped where a block is narrower than W.
        width: columns of each block.
        canvas: columns of each row's canvas.
        is_open: positions that may be written now.
        is_queried: positions that the model predicted: the open ones, and written ones that the revision queries.
        token: proposed token; 0 where not queried.
        written: token that is there; the mask token where open.
        logits: predictions at the queried positions, in their order (that of ``is_queried.nonzero()``).
        log_prob: log probability of the proposed token, by the model's own logits; -inf where not queried.
        score: the selection's score of the proposal, larger is written earlier; -inf where not queried.
        measure: gives any score of ``unmask.decoding.scores`` by its name, in the same form.
        block_open: open positions when the block became active.
        block_steps: forwards spent on the block before this one.
        steps: forwards that a block may take; None: as many as it has open positions.
        shared_out: positions that the steps are shared out over; None: those that were open.
        mean_confidence: gives the mean probability of a row's tokens when they were written; 1 where there is none.
        mask_id: the mask token, which is never proposed.
        memory: what was remembered, and what shall be.
        look_ahead: reads in one forward what the text would be.
        correctness: logits of the revision's head, if it reads one; -inf where not queried.
    """

    rows: Int[Tensor, " R"]
    columns: Int[Tensor, "R W"]
    width: Int[Tensor, " R"]
    canvas: Int[Tensor, " R"]
    is_open: Bool[Tensor, "R W"]
    is_queried: Bool[Tensor, "R W"]
    token: Int[Tensor, "R W"]
    written: Int[Tensor, "R W"]
    logits: Float[Tensor, "K V"]
    log_prob: Float[Tensor, "R W"]
    score: Float[Tensor, "R W"]
    measure: Callable[[str], Float[Tensor, "R W"]]
    block_open: Int[Tensor, " R"]
    block_steps: Int[Tensor, " R"]
    steps: int | None
    mean_confidence: Callable[[], Float[Tensor, " R"]]
    mask_id: int
    memory: MemoryAccess
    look_ahead: "LookAhead"
    correctness: Float[Tensor, "R W"] | None = None
    shared_out: int | None = None

    def spread(self, values: Tensor, empty: float = -torch.inf) -> Tensor:
        """Return values of the queried positions, in their order, laid out over all; ``empty`` elsewhere."""
        return spread(values, self.is_queried, empty)


def spread(values: Tensor, is_queried: Bool[Tensor, "R W"], empty: float = -torch.inf) -> Tensor:
    """Return values of the queried positions, in their order, laid out over all, [R, W, ...]; ``empty`` elsewhere."""
    further = values.shape[1:]
    return values.new_full((*is_queried.shape, *further), empty).masked_scatter(
        is_queried.view(*is_queried.shape, *[1] * len(further)), values
    )


LookAhead = Callable[[Bool[Tensor, "N R W"], Int[Tensor, "N R W"], Bool[Tensor, "N R W"]], Float[Tensor, "K V"]]
"""Returns logits at positions (third), from one forward with tokens (second) written at others (first), in N ways."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a step does to the active blocks.

    Args:
        write: positions that take their proposed token: open ones, or written ones whose token is replaced.
        hide: written positions that are taken back.
    """

    write: Bool[Tensor, "R W"]
    hide: Bool[Tensor, "R W"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step and what it wrote; the live view, the metrics and the tests read this trace.

    Args:
        index: steps before this one.
        at: (row, canvas offset) of each token that was written.
        tokens: what was written there.
        scores: its score, by the selection.
        probabilities: its probability, by the model's own logits.
        taken_back: (row, canvas offset) of each token that was hidden again or, where ``at`` names it too, replaced.
        live: rows that this step read.
        forwards: calls of the model in this step: one, or more where a component looks ahead or rows are read apart.
        picked: the row that each row continues, where particles were resampled after the step; None: all their own.
        state: after the step, without what only components remember.
    """

    index: int
    at: Int[Tensor, "M 2"]
    tokens: Int[Tensor, " M"]
    scores: Float[Tensor, " M"]
    probabilities: Float[Tensor, " M"]
    taken_back: Int[Tensor, "D 2"]
    live: Int[Tensor, " R"]
    forwards: int
    picked: Int[Tensor, " B"] | None
    state: State
