"""Models without weights: the answers are functions of what is visible, so traces can be compared exactly."""

from dataclasses import dataclass, field

import torch

from unmask.attention import PAD, AttentionRule, Bidirectional, may_attend
from unmask.types import Scored


class Slots:
    """What a toy keeps of each column that it reads: its token and its position."""

    def __init__(self, rows, columns):
        self.ids = torch.zeros(rows, columns, dtype=torch.int64)
        self.position = torch.zeros_like(self.ids)

    def write(self, query):
        past = query.past
        self.ids, self.position = self.ids.to(query.ids.device), self.position.to(query.ids.device)
        rows = torch.arange(len(self.ids), device=query.ids.device) if past.rows is None else past.rows
        self.ids[rows[:, None], past.place] = query.ids
        self.position[rows[:, None], past.place] = query.columns.position

    def read(self, past):
        rows = slice(None) if past.rows is None else past.rows
        known = past.may_attend.shape[2]
        return self.ids[rows, :known], self.position[rows, :known]

    def select(self, rows):
        self.ids, self.position = self.ids[rows], self.position[rows]


@dataclass(kw_only=True)
class Toy:
    """Counts forwards and rows; subclasses say what is predicted at (row, column)."""

    rule: AttentionRule = Bidirectional()
    vocab_size: int = 11
    mask_id: int = 10
    eos_ids: tuple[int, ...] = (9,)
    forwards: int = 0
    asked: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    heads: dict = field(default_factory=dict)
    shift: bool = False
    read: int = 0
    query: object = None

    def logits(self, query, at):
        self.query = query
        self.forwards += 1
        self.asked.append(len(at))
        self.rows.append(query.ids.shape[0])
        self.read += query.ids.numel()
        if query.past is not None:
            query.past.store.write(query)
        return self.predict(query, at)

    def store(self, rows, columns):
        return Slots(rows, columns)

    def text(self, query):
        """Tokens and positions of all that may be attended to, and by which of the query's columns."""
        if query.past is None:
            return query.ids, query.columns.position, may_attend(query.rule, query.columns, query.columns)
        return *query.past.store.read(query.past), query.past.may_attend

    def predict(self, query, at):
        raise AssertionError("a toy says what it predicts")

    def score(self, query, at, targets, want=()):
        log_p = self.logits(query, at).log_softmax(-1)
        top = log_p.max(-1)
        return Scored(
            nll=-log_p.gather(-1, targets[:, None]).squeeze(-1),
            entropy=-(log_p.exp() * log_p).sum(-1),
            is_top=top.indices == targets,
            confidence=top.values.exp(),
            reliability=torch.zeros(len(at), dtype=torch.float64),
        )


def pseudo_random(keys, vocab_size):
    """A fixed float in about [-3, 3] for every (key, token)."""
    token = torch.arange(vocab_size, device=keys.device)
    x = (keys[:, None] * 2654435761 + token * 40503 + 12345) % 1000003
    x = (x * x + 7 * x) % 1000003
    return 6.0 * x.double() / 1000003 - 3.0


class Table(Toy):
    """Logits depend on the position in the text only: every order gives the same text."""

    def predict(self, query, at):
        position = query.columns.position[at[:, 0], at[:, 1]]
        return pseudo_random(position, self.vocab_size)


class Hash(Toy):
    """Logits depend on every (position, token) that may be attended to: any other order changes the text."""

    def predict(self, query, at):
        row, column = at.unbind(1)
        ids, position, allowed = self.text(query)
        code = ((position + 1) * 7919 + ids * 104729) % 1000003
        seen = torch.where(allowed[row, column] & (ids != self.mask_id)[row], code[row], 0).sum(1)
        return pseudo_random(seen * 31 + query.columns.position[row, column], self.vocab_size)


class Uniform(Toy):
    """All logits zero: the oracle whose cross-entropy is ln V everywhere."""

    def predict(self, query, at):
        return torch.zeros(len(at), self.vocab_size, dtype=torch.float64)


class Saturated(Toy):
    """p = 1 everywhere for token 3."""

    def predict(self, query, at):
        out = torch.full((len(at), self.vocab_size), -1e9, dtype=torch.float64)
        out[:, 3] = 1e9
        return out


class AlwaysMask(Toy):
    """The argmax is the mask token, always."""

    def predict(self, query, at):
        out = pseudo_random(query.columns.position[at[:, 0], at[:, 1]], self.vocab_size)
        out[:, self.mask_id] = 50.0
        return out


class EndFirst(Toy):
    """The surest token is an end token at the far end of the canvas; digits elsewhere."""

    def predict(self, query, at):
        offset = query.columns.position[at[:, 0], at[:, 1]]
        out = pseudo_random(offset, self.vocab_size)
        out[:, 9] = -20.0 + 2.0 * offset
        return out


@dataclass(kw_only=True)
class Half(Hash):
    """As ``Hash``, answering in bfloat16."""

    def predict(self, query, at):
        return super().predict(query, at).bfloat16()


@dataclass
class Doubts:
    """A confidence stream without weights: what it says of a place depends on its token and on how much is visible."""

    model: Toy

    def read(self, at):
        query = self.model.query
        row, column = at.unbind(1)
        visible = ((query.ids != self.model.mask_id) & (query.columns.segment != PAD)).sum(1)[row]
        keys = query.columns.position[row, column] * 131 + query.ids[row, column] * 17 + visible
        return pseudo_random(keys, 1)[:, 0]
