"""An automaton that reads bytes becomes one that reads tokens."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.constraints.automaton import Automaton


def compose(
    step: Int[Tensor, "S 256"],
    accepts: Bool[Tensor, " S"],
    *,
    start: int,
    spellings: Sequence[bytes | None],
    eos_ids: Sequence[int],
) -> Automaton:
    """Return an automaton over tokens; a text ends with the canvas, or at an end token that only end tokens follow.

    Tokens are walked through their bytes by classes: a prefix of a token is a function from states to states, few
    functions differ, and what a byte makes of each is found once.

    Args:
        step: the state after a byte; -1 where the byte may not come.
        accepts: states in which the text may end.
        start: state before the first byte.
        spellings: the bytes of each token; None: never part of the text, as special tokens.
        eos_ids: tokens that end a text.

    Returns:
        The automaton, with one state more: after an end token.
    """
    end = len(accepts)
    after = [[*column, -1, -1] for column in step.T.tolist()]  # of the end, and of none
    nowhere = (-1,) * (end + 1)
    columns = [nowhere, (*range(end), -1)]
    number = {column: index for index, column in enumerate(columns)}
    known: dict[tuple[int, int], int] = {}

    def read(class_: int, byte: int) -> int:
        if (class_, byte) not in known:
            column = tuple(after[byte][state] for state in columns[class_])
            known[class_, byte] = number.setdefault(column, len(columns))
            if number[column] == len(columns):
                columns.append(column)
        return known[class_, byte]

    class_of = []
    for spelling in spellings:
        class_ = int(bool(spelling))  # 0 leads nowhere, as would a token without bytes: a text could go on for ever
        for byte in spelling or b"":
            class_ = read(class_, byte)
            if class_ == 0:
                break
        class_of.append(class_)
    columns.append((*(end if ends else -1 for ends in accepts.tolist()), end))
    for token in eos_ids:
        class_of[token] = len(columns) - 1
    used = sorted(set(class_of))
    renumbered = {class_: index for index, class_ in enumerate(used)}
    return Automaton(
        step=[columns[class_] for class_ in used],
        class_of=torch.tensor([renumbered[class_] for class_ in class_of]),
        accepts=[*accepts.tolist(), True],
        start=start,
    )
