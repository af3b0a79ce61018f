"""Encodes records as examples: tokenised, fitted to the length, with a report on every row that was left out."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal, overload

from unmask.core.attention import Grid
from unmask.core.batch import fill_canvas
from unmask.data.columns import MATTER_IN_TURNS
from unmask.data.records import BadRow, Difficulty, Encoded, Record
from unmask.data.report import TOO_LONG, Report
from unmask.data.templates import RawText, Text, TrainedTurn, text_of
from unmask.data.tokens import tokenise
from unmask.errors import UserError
from unmask.runtime.transformers_api import Tokenizer

CHUNK = 1000  # examples tokenised in one call: enough to use the tokenizer's batching, little to hold at once


class EncodedData(Sequence[Encoded]):
    """Examples in the order of their rows, and the report on the rows.

    The tokens lie in one array, four bytes each: a list of lists of Python integers takes ten times that.

    Args:
        report: counts of the rows, used and left out.
        end_id: the token that ends every answer that was not truncated.
    """

    def __init__(self, *, report: Report, end_id: int) -> None:
        self.report = report
        self.end_id = end_id
        self._tokens = array("i")
        self._answers = array("q")  # where each answer starts
        self._ends = array("q", [0])  # where each example ends, after a leading zero
        self._sources: list[str] = []
        self._difficulties: list[Difficulty | None] = []
        self._rows = array("q")  # the number of each example's row, counted from 0
        self._view: Sequence[int] | None = None  # which examples a slice shows; all of them in the whole

    def append(self, example: Encoded, row: int = 0) -> None:
        """Add an example of a row at the end."""
        self._tokens.extend(example.prompt)
        self._answers.append(len(self._tokens))
        self._tokens.extend(example.answer)
        self._ends.append(len(self._tokens))
        self._sources.append(example.source)
        self._difficulties.append(example.difficulty)
        self._rows.append(row)
        self.report.examples += 1

    @property
    def is_text(self) -> bool:
        """Whether all examples come from texts without prompts."""
        return self.report.examples == self.report.chunks > 0

    @property
    def rows(self) -> list[int]:
        """The number of each example's row among the records, counted from 0."""
        return self._rows.tolist() if self._view is None else [self._rows[i] for i in self._view]

    def pick(self, indices: Sequence[int]) -> "EncodedData":
        """Return a view of the examples at ``indices``, in that order, that shares the tokens."""
        view = range(len(self._sources)) if self._view is None else self._view
        picked = copy(self)
        picked._view = array("q", [view[i] for i in indices])
        return picked

    def __len__(self) -> int:
        return len(self._sources) if self._view is None else len(self._view)

    @overload
    def __getitem__(self, index: int) -> Encoded: ...
    @overload
    def __getitem__(self, index: slice) -> "EncodedData": ...
    def __getitem__(self, index: int | slice) -> "Encoded | EncodedData":
        """Return one example, or a view of several that shares the tokens."""
        if isinstance(index, slice):
            return self.pick(range(len(self))[index])
        index = (range(len(self._sources)) if self._view is None else self._view)[index]
        start, answer, end = self._ends[index], self._answers[index], self._ends[index + 1]
        return Encoded(
            prompt=self._tokens[start:answer].tolist(),
            answer=self._tokens[answer:end].tolist(),
            source=self._sources[index],
            difficulty=self._difficulties[index],
        )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits to the length of a prompt and its canvas.

    Args:
        max_length: columns of prompt and canvas together; None for no limit.
        block_size: of the canvas: a block needs room as a whole, also where the answer ends within it.
        canvas: a fixed canvas, as in decoding; None where it is fitted to the answer.
        truncate: cut answers that are too long instead of refusing them.
        grid: where blocks are counted from: the first ``answer`` token, or the first token of the ``text``.
    """

    max_length: int | None
    block_size: int
    canvas: int | None
    truncate: bool
    grid: Grid = "answer"

    def fit(self, prompt: Sequence[int], answer: Sequence[int]) -> Sequence[int]:
        """Return the answer's tokens, cut if ``truncate``; a ``BadRow`` if answer or prompt are too long."""
        room = self._space_left(len(prompt))
        if room is None or len(answer) <= room:
            return answer
        if self.truncate:
            return answer[:room]
        raise BadRow(
            TOO_LONG[1], f"expected at most {room} tokens after a prompt of {len(prompt)}, found {len(answer)}"
        )

    def cut(self, prompt: Sequence[int], text: Sequence[int]) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
        """Yield a text with its end token, cut where no more fits, as prompts and answers; only the first has a prompt.

        All but the last are as long as can be. An end token that would be left alone is left out: an example of its own
        would teach that texts are empty.

        Args:
            prompt: the tokenizer's start tokens.
            text: tokens.

        Yields:
            A prompt and an answer.
        """
        begin = 0
        while begin < len(text) - (begin > 0):
            space = self._space_left(len(prompt))
            end = len(text) if space is None else begin + space
            yield prompt, text[begin:end]
            begin, prompt = end, []

    def _space_left(self, prompt: int) -> int | None:
        if self.max_length is None:
            return self.canvas
        lead = prompt % self.block_size if self.grid == "text" else 0
        least = self.canvas or self.block_size - lead
        if self.canvas and self.grid == "text":
            least = fill_canvas(self.canvas, self.block_size, prompt=prompt, grid=self.grid)
        room = (self.max_length - prompt + lead) // self.block_size * self.block_size - lead
        if self.max_length - prompt < least:
            wanted = "canvas" if self.canvas else "block"
            raise BadRow(
                TOO_LONG[0],
                f"expected a prompt that leaves room for a {wanted} of {least} in max_length={self.max_length}, "
                f"found {prompt} tokens",
            )
        return self.canvas or room


def encode(
    records: Sequence[Record],
    tokenizer: Tokenizer | None,
    *,
    max_length: int | None,
    block_size: int | None = None,
    grid: Grid = "answer",
    canvas: int | None = None,
    chat: bool | None = None,
    end_ids: Sequence[int] = (),
    mask_id: int | None = None,
    on_bad: Literal["error", "skip"] = "error",
    too_long: Literal["error", "skip", "truncate"] | None = None,
) -> EncodedData:
    """Return the examples of a data set as tokens.

    Args:
        records: as read, defective ones included.
        tokenizer: of the model.
        max_length: columns that prompt and canvas (answer, end-of-turn token, filler to the block boundary) may take.
        block_size: columns of a block of the decoder; None: answers are not rounded up to blocks.
        grid: where blocks are counted from: the first ``answer`` token, or the first token of the ``text``.
        canvas: a fixed canvas that every answer must fit in.
        chat: whether to use the chat template; None: if the tokenizer has one.
        end_ids: tokens at which decoding stops, to check that the answers end with one of them.
        mask_id: the model's mask token, to refuse answers that contain it; in a prompt it is a token like any other.
        on_bad: whether rows that cannot be used are an error or left out. All of them left out is always an error.
        too_long: the same for what does not fit, and ``truncate`` keeps the leftmost tokens of an answer, which then
            has *no* end-of-turn token; by default as ``on_bad``. A prompt is never cut.

    Returns:
        The examples, with a report on the rows.

    Raises:
        UserError: rows cannot be used, counted by reason with the source of the first; answers have no known end.
    """
    if not records:
        raise UserError("expected rows to train on, found none; check data.path and data.limit")
    if tokenizer is None:
        raise UserError("expected a model with a tokenizer, found none; use another model, or rows of token ids")
    text, raw = _frames(records, tokenizer, chat, end_ids)
    _check_ends(tokenizer, dict.fromkeys((text.end_id, raw.end_id)), end_ids)
    limits = Limits(
        max_length=max_length, block_size=block_size or 1, canvas=canvas, truncate=too_long == "truncate", grid=grid
    )  # fmt: skip
    data = EncodedData(report=Report(rows=len(records)), end_id=text.end_id)
    forbidden = {text.end_id, raw.end_id, *end_ids, *(i for i in (tokenizer.eos_token_id,) if i is not None)}
    trained_turns = list(_trained_turns(records, text, raw, data.report))
    for start in range(0, len(trained_turns), CHUNK):
        chunk = trained_turns[start : start + CHUNK]
        for trained, (prompt, answer) in zip(chunk, tokenise(text, raw, chunk), strict=True):
            try:
                if trained.is_text:
                    _check_control(trained)
                _check(answer, forbidden, mask_id)
                _check_control(trained)
                if trained.is_text:
                    fitted = list(limits.cut(prompt, answer))
                    data.report.texts += 1
                    data.report.chunks += len(fitted)
                else:
                    fitted = [(prompt, limits.fit(prompt, answer))]
                    data.report.truncated += len(fitted[0][1]) < len(answer)
                    data.report.thoughts += trained.is_thought
            except BadRow as fault:
                data.report.skip(trained.source, fault)
                continue
            for number, (before, tokens) in enumerate(fitted, 1):
                source = trained.source if len(fitted) == 1 else f"{trained.source} chunk {number}"
                example = Encoded(prompt=before, answer=tokens, source=source, difficulty=trained.difficulty)
                data.append(example, trained.row)
    skip_long = too_long == "skip" or (too_long != "error" and on_bad == "skip")
    data.report.check({"": on_bad == "skip", **dict.fromkeys(TOO_LONG, skip_long)})
    return data


def _frames(
    records: Sequence[Record], tokenizer: Tokenizer, chat: bool | None, end_ids: Sequence[int]
) -> tuple[Text, Text]:
    """Return how answers become text, and whose start and end tokens stand around texts without prompts."""
    are_texts = {record.is_text for record in records if record.fault is None}
    if are_texts == {True}:
        raw = RawText.of(tokenizer, end_ids)
        return raw, raw
    text = text_of(tokenizer, chat, end_ids)
    return text, RawText.of(tokenizer, end_ids) if True in are_texts else text


def _check_ends(tokenizer: Tokenizer, found: Iterable[int], end_ids: Sequence[int]) -> None:
    """Raise a ``UserError`` if decoding does not stop at the tokens that end answers and texts."""
    for end_id in found:
        if end_ids and end_id not in end_ids:
            name, known = tokenizer.convert_ids_to_tokens(end_id), tokenizer.convert_ids_to_tokens(list(end_ids))
            raise UserError(
                f"expected answers that end with a token at which decoding stops ({', '.join(map(str, known))}), "
                f"found that the tokenizer ends them with '{name}'; add {end_id} to the model's eos_ids"
            )


def _trained_turns(records: Sequence[Record], text: Text, raw: Text, report: Report) -> Iterator[TrainedTurn]:
    """Yield the text of every example; rows that have none are counted in the report."""
    for row, record in enumerate(records):
        try:
            if record.fault is not None:
                raise record.fault
            keys = text.unread(record.messages)
            unused, unread = _of_turns(keys & MATTER_IN_TURNS), _of_turns(keys - MATTER_IN_TURNS)
            report.leave(unused=[*record.unused, *unused], unread=[*record.unread, *unread])
            for found in (raw if record.is_text else text).trained_turns(record):
                if isinstance(found, TrainedTurn):
                    yield replace(found, difficulty=record.difficulty, row=row)
                else:
                    report.skip(record.source, found)
        except BadRow as fault:
            report.skip(record.source, fault)


def _of_turns(keys: Iterable[str]) -> list[str]:
    return [f"{key} of turns" for key in sorted(keys)]


def _check(answer: Sequence[int], forbidden: set[int], mask_id: int | None) -> None:
    """Raise a ``BadRow`` if an answer is empty or contains an end token or the mask token."""
    if len(answer) < 2:
        raise BadRow("empty response", "expected a response, found one without tokens")
    if not forbidden.isdisjoint(answer[:-1]):
        raise BadRow(
            "end-of-turn token in the text",
            "expected an end token only at the end of a response, found another",
        )
    if mask_id is not None and mask_id in answer:
        raise BadRow("mask token in the text", f"expected text without the mask token {mask_id}, found it")


def _check_control(trained: TrainedTurn) -> None:
    """Raise a ``BadRow`` if the text of an answer spells a control token: it would be trained as one."""
    if trained.control and trained.is_text:
        raise BadRow(
            "control token in a text",
            f"expected text that spells no control token, found '{trained.control}'; write the turns of a rendered "
            "chat as messages, and each document as a row",
        )
    if trained.control:
        raise BadRow(
            "control token in an answer",
            f"expected answers that spell no control token, found '{trained.control}'; write it with a space in it",
        )
