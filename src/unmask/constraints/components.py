"""Constraints on the text as a whole: it matches a regular expression, or is JSON of a schema."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from pydantic import SkipValidation
from torch import Tensor

from unmask.config.components import component
from unmask.constraints.automaton import OPEN, Automaton
from unmask.decoding.interfaces import CONSTRAINTS
from unmask.decoding.state import Candidates, State
from unmask.errors import UserError


class Accepted:
    """A text that an automaton accepts; it is bound later: what bytes a token stands for depends on the model."""

    automaton: Automaton | None = None

    def bound(self, automaton: Automaton) -> "Accepted":
        """Return the constraint with an automaton over a model's tokens."""
        return replace(self, automaton=automaton)  # type: ignore[type-var]  # the components below are dataclasses

    def check(self, canvas: int) -> None:
        """Raise an error if no text that is accepted fits into a canvas.

        Args:
            canvas: columns.

        Raises:
            UserError: the shortest text is longer, or there is none.
        """
        shortest = self._automaton.shortest
        if shortest is None:
            raise UserError(
                "constraint: expected a pattern that some text matches, found none that these tokens spell; write it "
                "without ^ and $"
            )
        if shortest > canvas:
            raise UserError(
                f"constraint: expected a canvas of at least {shortest} tokens, which the shortest match has, found "
                f"{canvas}; write max_new_tokens={shortest} or more"
            )

    def ban(
        self, state: State, query_positions: Int[Tensor, "K 2"], logits: Float[Tensor, "K V"]
    ) -> Float[Tensor, "K V"]:
        """Return the logits with -inf for tokens that no accepted text has there, whatever the open columns become.

        Where nothing is left, as given tokens contradict the pattern, nothing is banned; ``admit`` ends such rows.

        Args:
            state: what is written so far.
            query_positions: (row, column) of each prediction.
            logits: predictions there.

        Returns:
            New logits, or those given where nothing was queried.
        """
        automaton = self._automaton
        canvases = Canvases(state, sorted(set(query_positions[:, 0].tolist())), automaton)
        ahead = {row: automaton.ahead(classes) for row, classes in canvases.classes.items()}
        behind = {row: automaton.behind(classes) for row, classes in canvases.classes.items()}
        allowed = []
        for row, column in query_positions.tolist():
            place = column - canvases.begin[row]
            allowed.append(automaton.allowed(ahead[row][place], behind[row][place + 1]) or -1)
        return logits.masked_fill(automaton.banned(allowed, logits.device), -torch.inf) if allowed else logits

    def admit(self, state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Bool[Tensor, "R W"]:
        """Return the chosen columns, in the order of their scores, that still leave an accepted text.

        Args:
            state: what is written so far.
            candidates: proposals for the active blocks.
            chosen: what the selection chose.

        Returns:
            A subset of ``chosen``; the same tensor where nothing was refused.
        """
        automaton = self._automaton
        rows = candidates.rows.tolist()
        canvases = Canvases(state, rows, automaton)
        order = candidates.score.argsort(dim=1, descending=True, stable=True).tolist()
        columns, proposed = candidates.columns.tolist(), automaton.class_of[candidates.token.cpu()].tolist()
        wanted, refused = chosen.tolist(), []
        for index, row in enumerate(rows):
            places = [(w, columns[index][w] - canvases.begin[row]) for w in order[index] if wanted[index][w]]
            together = _written(canvases.classes[row], [(place, proposed[index][w]) for w, place in places])
            if automaton.is_possible(together):
                continue
            classes = canvases.classes[row]
            for w, place in places:
                tried = _written(classes, [(place, proposed[index][w])])
                if automaton.is_possible(tried):
                    classes = tried
                else:
                    refused.append((index, w))
        if not refused:
            return chosen
        admitted = chosen.clone()
        admitted[tuple(torch.tensor(refused, device=chosen.device).T)] = False
        return admitted

    @property
    def _automaton(self) -> Automaton:
        if not isinstance(self.automaton, Automaton):
            raise TypeError("a constraint on text must be bound to a model's tokens (unmask.constraints.compile.bind)")
        return self.automaton


class Canvases:
    """What stands on the canvases of some rows, in the main memory.

    ``begin`` is the column at which each row's canvas begins, ``classes`` the class of the token in each column of it
    (``OPEN`` where nothing is written); both are keyed by row.

    Args:
        state: what is written so far.
        rows: rows of the state.
        automaton: knows the class of each token.
    """

    def __init__(self, state: State, rows: Sequence[int], automaton: Automaton) -> None:
        batch, index = state.batch, torch.tensor(rows, device=state.ids.device, dtype=torch.int64)
        begins = batch.is_canvas[index].long().argmax(1).tolist()
        classes = torch.where(state.is_open[index].cpu(), OPEN, automaton.class_of[state.ids[index].cpu()]).tolist()
        lengths = batch.canvas_length[index].tolist()
        self.begin = dict(zip(rows, begins, strict=True))
        cut = zip(rows, classes, begins, lengths, strict=True)
        self.classes = {row: each[begin : begin + length] for row, each, begin, length in cut}


def _written(classes: Sequence[int], changes: Sequence[tuple[int, int]]) -> list[int]:
    """Return the classes with other ones at some indices."""
    written = list(classes)
    for place, class_ in changes:
        written[place] = class_
    return written


@CONSTRAINTS.register("regex")
@component
class Regex(Accepted):
    r"""The whole answer matches a regular expression.

    Out of order: a token is proposed only where some match has it, given all that is written (as in DINGO, arXiv
    2505.23061, which looks for the likeliest match, and arXiv 2508.10111); of several chosen at once, those with the
    highest scores that can stand together are written. Behind a match there are end tokens only. Scores are read from
    the model's own probabilities.

    Args:
        pattern: in the syntax of Rust's ``regex``, without ``^``, ``$`` and look-around, of the whole text. ``\d`` and
            ``\w`` go beyond ASCII.
        automaton: of the pattern, over a model's tokens; ``generate`` sets it.
    """

    pattern: str
    automaton: SkipValidation[Automaton | None] = None


@CONSTRAINTS.register("json_schema")
@component
class JsonSchema(Accepted):
    """The whole answer is JSON of a schema, its properties in the schema's order; otherwise as ``regex``.

    Args:
        json_schema: a JSON schema as a mapping or as JSON; nested references are unfolded three times.
        whitespace: pattern of the space between the elements; default: none or one space.
        automaton: of the schema, over a model's tokens; ``generate`` sets it.
    """

    json_schema: dict[str, Any] | str
    whitespace: str | None = None
    automaton: SkipValidation[Automaton | None] = None
