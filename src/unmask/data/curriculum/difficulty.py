"""Difficulties of examples, and buckets of examples by difficulty, easiest first."""

import math
from collections.abc import Sequence

from unmask.data.curriculum.base import BUCKETS, Curriculum, label
from unmask.data.records import Difficulty, Encoded
from unmask.errors import UserError


def into_buckets(examples: Sequence[Encoded], curriculum: Curriculum) -> list[list[int]]:
    """Return the buckets of a curriculum, easiest first and none empty, each with the indices of its examples.

    Numbers are cut where the ranks are: bucket sizes differ by at most one, and of equally difficult examples at a cut
    the earlier ones go to the easier bucket. Where there are no more different numbers than buckets, each is a bucket.

    Args:
        examples: that are trained on.
        curriculum: by which column, and into how many buckets.

    Returns:
        Lists of indices.

    Raises:
        UserError: an example without a known difficulty; a label without examples; all equally difficult.
    """
    values = difficulties(examples, curriculum)
    different = sorted(set(values))
    count = curriculum.buckets or BUCKETS
    if curriculum.order is not None:
        absent = [label(name) for source, name in enumerate(curriculum.order) if source not in different]
        if absent:
            raise UserError(
                f"data.curriculum.order: expected examples of every label, found none of {', '.join(absent)}; "
                f"leave out what '{curriculum.by}' never says"
            )
    elif len(different) == 1 and count > 1:
        raise UserError(
            f"data.curriculum.by: expected examples of different difficulty, found that {curriculum.by} is "
            f"{label(different[0])} for all {len(values)}; name a column that tells them apart, or leave out the "
            "curriculum"
        )
    if curriculum.order is not None or len(different) <= count:
        bucket_of = {value: bucket for bucket, value in enumerate(different)}
        buckets: list[list[int]] = [[] for _ in different]
        for index, value in enumerate(values):
            buckets[bucket_of[value]].append(index)
        return buckets
    ranked = sorted(range(len(values)), key=values.__getitem__)
    cuts = [bucket * len(ranked) // count for bucket in range(count + 1)]
    return [sorted(ranked[start:end]) for start, end in zip(cuts, cuts[1:], strict=False)]


def difficulties(examples: Sequence[Encoded], curriculum: Curriculum) -> list[float]:
    """Return how difficult each example is.

    Args:
        examples: that are trained on.
        curriculum: says what makes an example difficult.

    Returns:
        The length of each answer in tokens, the number of its row, or the rank of its label.

    Raises:
        UserError: an example has no difficulty, or a label that is not in the curriculum's order.
    """
    column = curriculum.column
    if column is None:
        return [len(example.answer) for example in examples]
    stated = [_stated(example, column) for example in examples]
    if curriculum.order is None:
        return _numbers(stated, column)
    ranks = {label(name): rank for rank, name in enumerate(curriculum.order)}
    for example, value in zip(examples, stated, strict=True):
        if label(value) not in ranks:
            raise UserError(
                f"data.curriculum.order: expected one of {', '.join(ranks)} under '{column}', found '{label(value)}' "
                f"({example.source or 'an example'}); mend it, or add it to the order"
            )
    return [ranks[label(value)] for value in stated]


def _stated(example: Encoded, column: str) -> Difficulty:
    if example.difficulty is None:
        raise UserError(
            f"data.curriculum.by: expected examples with a difficulty from '{column}', found none with "
            f"{example.source or 'an example'}; give each Encoded its difficulty, or write by: length"
        )
    return example.difficulty


def _numbers(stated: Sequence[Difficulty], column: str) -> list[float]:
    """Return numbers, read from text too, which is all that CSV has."""
    numbers, labels = [], set()
    for value in stated:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            labels.add(str(value))
        numbers.append(number)
    if labels:
        shown = ", ".join(sorted(labels)[:8]) + (", …" if len(labels) > 8 else "")
        raise UserError(
            f"data.curriculum.by: expected numbers under '{column}', found {shown}; if these are labels, write them "
            f"from easy to hard, for example order: [{shown}]"
        )
    return numbers
