"""Models without weights: what they predict is a function of what is visible, so that traces can be compared exactly.

A toy has 11 tokens: 0 to 8 are text, 9 ends a text, 10 is the mask. It counts its forwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.core.attention import PAD, AttentionRule, Bidirectional, may_attend
from unmask.core.protocols import Past, Query, Scored, Want


class Slots:
    """Tokens and positions of the columns that a toy has read, in place of keys and values."""

    def __init__(self, rows: int, columns: int) -> None:
        self.ids = torch.zeros(rows, columns, dtype=torch.int64)
        self.position = torch.zeros_like(self.ids)

    def write(self, query: Query) -> None:
        """Store the columns of a query in their slots."""
        past = query.past
        assert past is not None
        self.ids, self.position = self.ids.to(query.ids.device), self.position.to(query.ids.device)
        rows = torch.arange(len(self.ids), device=query.ids.device) if past.rows is None else past.rows
        self.ids[rows[:, None], past.column] = query.ids
        self.position[rows[:, None], past.column] = query.columns.position

    def read(self, past: Past) -> tuple[Int[Tensor, "R C"], Int[Tensor, "R C"]]:
        """Return the tokens and positions of the text that a query is read against."""
        rows = slice(None) if past.rows is None else past.rows
        known = past.may_attend.shape[2]
        return self.ids[rows, :known], self.position[rows, :known]

    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Drop all but these rows, in this order."""
        self.ids, self.position = self.ids[rows], self.position[rows]


@dataclass(kw_only=True)
class Toy:
    """A denoiser that counts its forwards and the rows that it reads; subclasses have ``predict``."""

    rule: AttentionRule = Bidirectional()
    vocab_size: int = 11
    mask_id: int = 10
    eos_ids: tuple[int, ...] = (9,)
    forwards: int = 0
    queried: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    heads: dict[str, Any] = field(default_factory=dict)
    shift: bool = False
    read: int = 0
    query: Query | None = None

    def logits(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return the logits at (row, column) positions, [K, V], and record what was read."""
        self.query = query
        self.forwards += 1
        self.queried.append(len(query_positions))
        self.rows.append(query.ids.shape[0])
        self.read += query.ids.numel()
        if query.past is not None:
            query.past.store.write(query)  # type: ignore[attr-defined]  # a toy's store is its own
        return self.predict(query, query_positions)

    def store(self, rows: int, columns: int) -> Slots:
        """Return an empty store for rows of ``columns`` columns."""
        return Slots(rows, columns)

    def text(self, query: Query) -> tuple[Int[Tensor, "R C"], Int[Tensor, "R C"], Bool[Tensor, "R N C"]]:
        """Return tokens and positions of all that may be attended to, [R, C], and by which columns, [R, N, C]."""
        if query.past is None:
            return query.ids, query.columns.position, may_attend(query.rule, query.columns, query.columns)
        return *query.past.store.read(query.past), query.past.may_attend  # type: ignore[attr-defined]

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Raise ``AssertionError``: a subclass returns here the logits at (row, column) positions, [K, V]."""
        raise AssertionError(f"{type(self).__name__} brings no predict()")

    def score(
        self, query: Query, query_positions: Int[Tensor, "K 2"], targets: Int[Tensor, " K"], want: Sequence[Want] = ()
    ) -> Scored:
        """Score the targets, with everything that an objective may want.

        Args:
            query: what is read.
            query_positions: (row, column) of each prediction, [K, 2].
            targets: the right token of each.
            want: not used: all quantities are returned.

        Returns:
            Likelihoods, entropies and confidences in nats or shares, and a correctness of 0.
        """
        log_p = self.logits(query, query_positions).log_softmax(-1)
        top = log_p.max(-1)
        return Scored(
            nll=-log_p.gather(-1, targets[:, None]).squeeze(-1),
            entropy=-(log_p.exp() * log_p).sum(-1),
            is_top=top.indices == targets,
            confidence=top.values.exp(),
            correctness=torch.zeros(len(query_positions), dtype=torch.float64),
        )


def pseudo_random(keys: Int[Tensor, " K"], vocab_size: int) -> Float[Tensor, "K V"]:
    """Return a fixed number in about [-3, 3] for every (key, token), [K, V]."""
    token = torch.arange(vocab_size, device=keys.device)
    x = (keys[:, None] * 2654435761 + token * 40503 + 12345) % 1000003
    x = (x * x + 7 * x) % 1000003
    return 6.0 * x.double() / 1000003 - 3.0


class Table(Toy):
    """A toy whose logits depend on the position in the text only: every order of writing gives the same text."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return pseudo-random logits of each position in the text."""
        position = query.columns.position[query_positions[:, 0], query_positions[:, 1]]
        return pseudo_random(position, self.vocab_size)


class Hash(Toy):
    """A toy whose logits depend on every (position, token) that may be attended to: another order changes the text."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return pseudo-random logits of all that is visible and of the position."""
        row, column = query_positions.unbind(1)
        ids, position, allowed = self.text(query)
        code = ((position + 1) * 7919 + ids * 104729) % 1000003
        seen = torch.where(allowed[row, column] & (ids != self.mask_id)[row], code[row], 0).sum(1)
        return pseudo_random(seen * 31 + query.columns.position[row, column], self.vocab_size)


class Uniform(Toy):
    """A toy whose logits are all zero: its cross-entropy is ln V everywhere."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return zeros in float64: all tokens are equally likely."""
        return torch.zeros(len(query_positions), self.vocab_size, dtype=torch.float64)


class Saturated(Toy):
    """A toy that gives token 3 the probability 1 everywhere."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return logits whose softmax rounds to 1 at token 3."""
        out = torch.full((len(query_positions), self.vocab_size), -1e9, dtype=torch.float64)
        out[:, 3] = 1e9
        return out


class AlwaysMask(Toy):
    """A toy whose most likely token is always the mask."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return the logits of ``Table``, and 50 for the mask."""
        out = pseudo_random(query.columns.position[query_positions[:, 0], query_positions[:, 1]], self.vocab_size)
        out[:, self.mask_id] = 50.0
        return out


class EndFirst(Toy):
    """A toy whose most confident token is an end token at the far end of the canvas; text elsewhere."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return the logits of ``Table``, and for the end token one that grows along the text."""
        offset = query.columns.position[query_positions[:, 0], query_positions[:, 1]]
        out = pseudo_random(offset, self.vocab_size)
        out[:, 9] = -20.0 + 2.0 * offset
        return out


@dataclass(kw_only=True)
class Half(Hash):
    """A ``Hash`` whose logits are bfloat16."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return the logits of ``Hash``, rounded to bfloat16."""
        return super().predict(query, query_positions).bfloat16()


class Flat(Hash):
    """A toy to which all tokens are equally likely, everywhere: nothing but ties."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return zeros in float32: all tokens are tied."""
        return torch.zeros(len(query_positions), self.vocab_size)


class Fickle(Hash):
    """A toy whose most likely token changes with the number of masks; at float16's limits, at times mask or end."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return the logits of ``Hash`` at float16's limits; the visible masks decide which token is ahead."""
        ids, _, allowed = self.text(query)
        row, column = query_positions.unbind(1)
        masks = (allowed[row, column] & (ids == self.mask_id)[row]).sum(1)
        out = super().predict(query, query_positions) * 1e5
        out[torch.arange(len(query_positions)), (masks + query.columns.position[row, column]) % self.vocab_size] += 1e6
        return out.clamp(min=-65504, max=65504).half()


class Barred(Hash):
    """A toy to which three tokens are possible at a position; one may be an end or, never first, the mask."""

    def predict(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return the logits of ``Hash`` for the three best tokens and -inf for all others."""
        out = super().predict(query, query_positions)
        out[:, self.mask_id] = out[:, self.mask_id].clamp(max=2.9)
        best = out.topk(3).indices
        possible = torch.zeros_like(out, dtype=torch.bool).scatter(1, best, True)
        return out.masked_fill(~possible, -torch.inf)


@dataclass
class Doubts:
    """A confidence head without weights: its answer depends on the token and on how much is visible."""

    model: Toy

    def read(self, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, " K"]:
        """Return a logit for each (row, column) of the last query, [K]."""
        query = self.model.query
        assert query is not None, "the model was not asked yet"
        row, column = query_positions.unbind(1)
        visible = ((query.ids != self.model.mask_id) & (query.columns.segment != PAD)).sum(1)[row]
        keys = query.columns.position[row, column] * 131 + query.ids[row, column] * 17 + visible
        return pseudo_random(keys, 1)[:, 0]
