"""Several noised batches read in one forward: their rows stand below each other."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.core.attention import PAD, Columns
from unmask.core.attention_rules import PerRow
from unmask.core.protocols import Noised
from unmask.core.query import Query, SoftTokens


def stack(questions: Sequence[Noised]) -> Noised:
    """Return noised batches of the same batch as one; narrower rows are padded, and groups are numbered on."""
    if len(questions) == 1:
        return questions[0]
    first_row = _starts([q.query.ids.shape[0] for q in questions])
    first_group = _starts([int(q.group.max()) + 1 if len(q.group) else 0 for q in questions])
    has_members = all(q.member is not None for q in questions)
    has_offsets = all(q.offset is not None for q in questions)
    return Noised(
        query=_stack_queries([q.query for q in questions], first_row),
        query_positions=torch.cat([_down(q.query_positions, row) for q, row in zip(questions, first_row, strict=True)]),
        targets=torch.cat([q.targets for q in questions]),
        weight=torch.cat([q.weight for q in questions]),
        count=torch.stack([q.count for q in questions]).sum(),
        example=torch.cat([q.example for q in questions]),
        noise_level=torch.cat([q.noise_level for q in questions]),
        group=torch.cat([q.group + start for q, start in zip(questions, first_group, strict=True)]),
        member=torch.cat([q.member for q in questions if q.member is not None]) if has_members else None,
        extra=_stack_extra(questions),
        offset=torch.cat([q.offset for q in questions if q.offset is not None]) if has_offsets else None,
    )


def _stack_extra(questions: Sequence[Noised]) -> Float[Tensor, "K F"] | None:
    """Return the extra values of all; noised batches without any get zeros beside those that have some."""
    width = max(0 if q.extra is None else q.extra.shape[1] for q in questions)
    if not width:
        return None
    blank = [
        torch.zeros(len(q.query_positions), width, dtype=torch.float64, device=q.query_positions.device)
        for q in questions
    ]
    return torch.cat([b if q.extra is None else q.extra for q, b in zip(questions, blank, strict=True)])


def _starts(sizes: Sequence[int]) -> list[int]:
    return [sum(sizes[:i]) for i in range(len(sizes))]


def _down(query_positions: Int[Tensor, "K 2"], rows: int) -> Int[Tensor, "K 2"]:
    return query_positions + torch.tensor([rows, 0], device=query_positions.device)


def _stack_queries(queries: Sequence[Query], first_row: Sequence[int]) -> Query:
    width = max(q.ids.shape[1] for q in queries)
    wide = [_widen(q, width) for q in queries]
    rules = list(dict.fromkeys(q.rule for q in wide))
    which = torch.cat([torch.full((len(q.ids),), rules.index(q.rule), device=q.ids.device) for q in wide])
    return Query(
        ids=torch.cat([q.ids for q in wide]),
        columns=Columns(
            position=torch.cat([q.columns.position for q in wide]),
            segment=torch.cat([q.columns.segment for q in wide]),
            block=torch.cat([q.columns.block for q in wide]),
            stream=torch.cat([q.columns.stream for q in wide]),
        ),
        rule=rules[0] if len(rules) == 1 else PerRow(tuple(rules), which),
        soft=_stack_soft(queries, first_row),
        before=torch.cat([_before(q) for q in wide]) if any(q.before is not None for q in wide) else None,
    )


def _widen(query: Query, width: int) -> Query:
    """Return the query with columns of padding on the right."""
    more = width - query.ids.shape[1]
    if more == 0:
        return query

    def pad(values: Tensor, value: int) -> Tensor:
        return torch.nn.functional.pad(values, (0, more), value=value)

    columns = query.columns
    padded = Columns(
        position=pad(columns.position, 0),
        segment=pad(columns.segment, PAD),
        block=pad(columns.block, PAD),
        stream=pad(columns.stream, 0),
    )
    before = None if query.before is None else pad(query.before, 0)
    return replace(query, ids=pad(query.ids, 0), columns=padded, before=before)


def _before(query: Query) -> Int[Tensor, "R N"]:
    """Return the column before each one; by default that is the column to the left."""
    if query.before is not None:
        return query.before
    left = (torch.arange(query.ids.shape[1], device=query.ids.device) - 1).clamp(min=0)
    return left.expand_as(query.ids)


def _stack_soft(queries: Sequence[Query], first_row: Sequence[int]) -> SoftTokens | None:
    soft = [(q.soft, row) for q, row in zip(queries, first_row, strict=True) if q.soft is not None]
    if not soft:
        return None
    most = max(s.ids.shape[1] for s, _ in soft)

    def pad(values: Tensor) -> Tensor:
        return torch.nn.functional.pad(values, (0, most - values.shape[1]))

    return SoftTokens(
        query_positions=torch.cat([_down(s.query_positions, row) for s, row in soft]),
        ids=torch.cat([pad(s.ids) for s, _ in soft]),
        weights=torch.cat([pad(s.weights) for s, _ in soft]),
    )
