"""A finite automaton that reads tokens, and what can still come of a text that is written out of order.

A column of the canvas is open or has a token. From the left, the states that the automaton may be in before each;
from the right, those from which it may still accept. A token is allowed at a place if it leads from one of the first to
one of the second (as in DINGO, arXiv 2505.23061, and arXiv 2508.10111). Tokens that do the same in every state share a
class; there are some hundred classes where there are 50 to 150 thousand tokens.

Sets of states and of classes are whole numbers, a bit for each. From one forward to the next little changes, so that
every result is remembered: a step then costs some look-ups a column, and no tensor but that of the banned tokens.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

OPEN = -1  # instead of a class: any token may come to stand there
_KEPT = 1 << 16  # results of each kind
_KEPT_MASKS = 256  # of a byte for each token of the vocabulary


class Automaton:
    """A deterministic finite automaton over classes of tokens.

    Args:
        step: for each class the state that follows each state; -1: the class may not come there.
        class_of: the class of each token.
        accepts: states in which the canvas may end.
        start: state before the first column.
    """

    def __init__(
        self, *, step: Sequence[Sequence[int]], class_of: Int[Tensor, " V"], accepts: Sequence[bool], start: int
    ) -> None:
        self.class_of = class_of
        self.states = len(accepts)
        self.classes = len(step)
        self._start = 1 << start
        self._accepts = sum(1 << state for state, ends in enumerate(accepts) if ends)
        self._moves = [[(1 << q, 1 << to) for q, to in enumerate(after) if to >= 0] for after in step]
        self._arcs = _arcs(self._moves)
        self.follow: Callable[[int, int], int] = functools.lru_cache(_KEPT)(self._follow)
        self.precede: Callable[[int, int], int] = functools.lru_cache(_KEPT)(self._precede)
        self.allowed: Callable[[int, int], int] = functools.lru_cache(_KEPT)(self._allowed)
        self._banned = functools.lru_cache(_KEPT_MASKS)(self._find_banned)

    def ahead(self, row: Sequence[int]) -> list[int]:
        """Return the states (bits) that are possible before each column of a row and after the last.

        Args:
            row: a class or ``OPEN`` for each column.

        Returns:
            One set more than there are columns.
        """
        found = [self._start]
        for place in row:
            found.append(self.follow(found[-1], place))
        return found

    def behind(self, row: Sequence[int]) -> list[int]:
        """Return the states (bits) from which the rest of a row may be accepted, at each column and after the last.

        Args:
            row: a class or ``OPEN`` for each column.

        Returns:
            One set more than there are columns.
        """
        found = [self._accepts]
        for place in reversed(row):
            found.append(self.precede(found[-1], place))
        return found[::-1]

    def is_possible(self, row: Sequence[int]) -> bool:
        """Return whether the open columns of a row can be filled so that it is accepted."""
        return bool(self.behind(row)[0] & self._start)

    def banned(self, allowed: Sequence[int], device: torch.device) -> Bool[Tensor, "K V"]:
        """Return for each set of classes which tokens are in none of them.

        Args:
            allowed: sets of classes, as bits.
            device: of the result.

        Returns:
            A row for each set, a column for each token.
        """
        different = list(dict.fromkeys(allowed))
        number = {classes: index for index, classes in enumerate(different)}
        masks = torch.stack([self._banned(classes, device) for classes in different])
        return masks.index_select(0, torch.tensor([number[classes] for classes in allowed], device=device))

    @functools.cached_property
    def shortest(self) -> int | None:
        """Number of tokens of the shortest text that is accepted; None: there is none."""
        reached = self._start
        for tokens in range(self.states):
            if reached & self._accepts:
                return tokens
            reached = self.follow(reached, OPEN)
        return None

    def _follow(self, states: int, class_: int) -> int:
        found = 0
        if class_ == OPEN:
            for state, _, all_after in self._arcs:
                found |= all_after if state & states else 0
            return found
        for state, after in self._moves[class_]:
            found |= after if state & states else 0
        return found

    def _precede(self, states: int, class_: int) -> int:
        found = 0
        if class_ == OPEN:
            for state, _, all_after in self._arcs:
                found |= state if all_after & states else 0
            return found
        for state, after in self._moves[class_]:
            found |= state if after & states else 0
        return found

    def _allowed(self, before: int, after: int) -> int:
        found = 0
        for state, moves, _ in self._arcs:
            if state & before:
                for following, classes in moves.items():
                    found |= classes if following & after else 0
        return found

    def _find_banned(self, allowed: int, device: torch.device) -> Bool[Tensor, " V"]:
        is_banned = torch.tensor([not allowed >> class_ & 1 for class_ in range(self.classes)])
        return is_banned[self.class_of].to(device)


def _arcs(moves: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, dict[int, int], int]]:
    """Return for each state, as bits: the classes that lead to each following state, and all of these."""
    found: dict[int, dict[int, int]] = {}
    for class_, pairs in enumerate(moves):
        for state, after in pairs:
            arcs = found.setdefault(state, {})
            arcs[after] = arcs.get(after, 0) | 1 << class_
    return [(state, arcs, functools.reduce(int.__or__, arcs)) for state, arcs in found.items()]
