"""What caches share: which row of the store is which row of a query, and reading some columns against the rest."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.core.attention import PAD, AttentionRule, Columns, may_attend
from unmask.core.protocols import Denoiser, Past, Query, SoftTokens, Store
from unmask.decoding.state import State
from unmask.errors import UserError

NOT_READ = -1


@dataclass(frozen=True, kw_only=True)
class Window:
    """Columns [begin, end) of each row: those that are read.

    Args:
        begin: first column.
        end: column after the last.
        known: columns from the left that the store holds after the forward.
    """

    begin: Int[Tensor, " R"]
    end: Int[Tensor, " R"]
    known: Int[Tensor, " R"]

    def __getitem__(self, index: Tensor) -> "Window":
        return Window(begin=self.begin[index], end=self.end[index], known=self.known[index])


class TextCache:
    """The store of a run, and which tokens were read into it.

    Args:
        model: makes the store, and reads.
        query: the first query of the run.
        owner: what each of its rows shows; rows are known by it from step to step.
    """

    def __init__(self, model: Denoiser, query: Query, owner: Int[Tensor, " R"]) -> None:
        self.owner = owner
        self.store: Store = model.store(*query.ids.shape)
        self.ids = torch.full_like(query.ids, NOT_READ)
        self._last: tuple[list[Tensor], Past, Columns] | None = None

    def follow(self, owner: Int[Tensor, " R"]) -> bool:
        """Move the store to the rows ``owner``, a subset of its own, and return True; False if some were never read."""
        if torch.equal(owner, self.owner):
            return True
        if not bool(torch.isin(owner, self.owner).all()):
            return False
        index = (owner[:, None] == self.owner).long().argmax(1)
        self.store.select(index)
        self.owner, self.ids, self._last = owner, self.ids[index], None
        return True

    def query(self, query: Query, window: Window, rows: Int[Tensor, " R"] | None = None) -> Query:
        """Return a query narrowed to a window; columns beyond a row's window repeat its last: read twice, kept once."""
        past, columns = self._past(query, window, rows)
        return _narrow(query, past, columns)

    def scattered(self, query: Query, column: Int[Tensor, "R N"]) -> Query:
        """Return a query narrowed to any columns of each row; all of the text is known."""
        columns = _gather(query.columns, column)
        seen = _seen(query.rule, columns, query.columns, text_length(query.columns))
        return _narrow(query, Past(store=self.store, column=column, may_attend=seen), columns)

    def _past(self, query: Query, window: Window, rows: Int[Tensor, " R"] | None) -> tuple[Past, Columns]:
        """Return who sees what, and the columns read; as in the forward before where these are the same."""
        # With the same owners, position and segment are the same.
        key = [window.begin, window.end, window.known, query.columns.stream, query.columns.block]
        if rows is None and self._last is not None and all(map(torch.equal, key, self._last[0])):
            return self._last[1], self._last[2]
        columns = query.columns if rows is None else query.columns[rows]
        ramp = torch.arange(int((window.end - window.begin).max()), device=query.ids.device)
        column = torch.minimum(window.begin[:, None] + ramp, window.end[:, None] - 1)
        read = _gather(columns, column)
        seen = _seen(query.rule, read, columns, window.known)
        past = Past(store=self.store, column=column, may_attend=seen, rows=rows)
        if rows is None:
            self._last = (key, past, read)
        return past, read


def owners(query: Query, state: State, rows: Int[Tensor, " R"]) -> Int[Tensor, " R2"]:
    """Return an identity for each row of a query; a view may show each live row several times, batch after batch.

    Args:
        query: what a view made.
        state: that it shows.
        rows: live rows.

    Returns:
        Numbers that stay the same from step to step.

    Raises:
        UserError: a view that lays the text out in its own way.
    """
    shows, left = divmod(query.ids.shape[0], max(len(rows), 1))
    if left or query.ids.shape[1] != state.ids.shape[1] or query.before is not None:
        raise UserError("a cache reads the canvas as it stands, and this view lays it out anew; use the cache 'none'")
    return torch.cat([rows + show * len(state.ids) for show in range(shows)])


def first(is_wanted: Bool[Tensor, "R L"]) -> Int[Tensor, " R"]:
    """Return the first wanted column of each row; L where there is none."""
    return torch.where(is_wanted.any(1), is_wanted.long().argmax(1), is_wanted.shape[1])


def text_length(columns: Columns) -> Int[Tensor, " R"]:
    """Return the number of columns of each row that are not padding, which is on the right."""
    return (columns.segment != PAD).sum(1)


def _narrow(query: Query, past: Past, columns: Columns) -> Query:
    ids = query.ids if past.rows is None else query.ids[past.rows]
    soft = _soft(query, past.column, past.rows)
    return Query(ids=ids.gather(1, past.column), columns=columns, rule=query.rule, soft=soft, past=past)


def _seen(rule: AttentionRule, read: Columns, text: Columns, known: Int[Tensor, " R"]) -> Bool[Tensor, "R N C"]:
    text = text[:, : int(known.max())]
    ramp = torch.arange(text.segment.shape[1], device=known.device)
    return may_attend(rule, read, replace(text, segment=torch.where(ramp < known[:, None], text.segment, PAD)))


def _gather(columns: Columns, column: Int[Tensor, "R N"]) -> Columns:
    return Columns(
        position=columns.position.gather(1, column),
        segment=columns.segment.gather(1, column),
        block=columns.block.gather(1, column),
        stream=columns.stream.gather(1, column),
    )


def _soft(query: Query, column: Int[Tensor, "R N"], rows: Int[Tensor, " R"] | None) -> SoftTokens | None:
    """Return the blended embedding of each column that is read; a repeated column has that of the one it repeats."""
    if query.soft is None:
        return None
    soft = query.soft
    blend = torch.full_like(query.ids, -1)
    blend[soft.query_positions[:, 0], soft.query_positions[:, 1]] = torch.arange(
        len(soft.query_positions), device=column.device
    )
    found = (blend if rows is None else blend[rows]).gather(1, column)
    at = (found >= 0).nonzero()
    index = found[at[:, 0], at[:, 1]]
    return SoftTokens(query_positions=at, ids=soft.ids[index], weights=soft.weights[index])
