"""The trace of a decoding as a JSON Lines file: which token was written where, when, and with what probability.

The first line is the header: model, versions, decoder, and for each row its prompt, the length of its canvas and the
tokens that were given there. Then comes one line for each forward and each row that it read (or whose text a search
replaced by another row's):

    {"index": 3, "row": 0, "block": [0, 7], "offsets": [5], "ids": [17], "texts": ["x"], "probabilities": [0.93],
     "taken_back": [], "continues": 0}

``block`` and ``offsets`` count the columns of the canvas from its first; ``probabilities`` are those that the model
gave the tokens by its own logits when they were written; ``continues`` is the row whose text this row continues.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from unmask.decoding import Step
from unmask.errors import UserError
from unmask.models import LoadedModel
from unmask.runtime.environment import versions
from unmask.runtime.foreign import read_text
from unmask.runtime.sealed import FORMAT
from unmask.tracing.format import check_lines

PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A written or given token.

    Args:
        text: of the token alone.
        id: of the token.
        probability: that the model gave it when it was written; None for given tokens.
        index: of the forward that wrote it; None for given tokens.
    """

    text: str
    id: int
    probability: float | None = None
    index: int | None = None


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A row after a forward.

    Args:
        index: forwards before this one.
        block: canvas offsets [begin, end) of the block that was active.
        cells: canvas offset -> token.
        fresh: offsets that this forward wrote.
        taken_back: offsets that it hid again or rewrote.
    """

    index: int
    block: tuple[int, int]
    cells: Mapping[int, Cell]
    fresh: Sequence[int] = ()
    taken_back: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A trace that was read from a file.

    Args:
        header: first line of the file.
        lines: all others, in their order.
    """

    header: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def canvas(self, row: int) -> int:
        """Return how many columns the canvas of a row has."""
        return int(self.header["rows"][row]["canvas"])

    def prompt(self, row: int) -> str:
        """Return the text before the canvas of a row."""
        return str(self.header["rows"][row]["prompt"])

    def frames(self, row: int = 0) -> list[Frame]:
        """Return the states of a row after each forward that read it.

        Args:
            row: index of the row.

        Returns:
            Frames in the order of the forwards, those of the row whose text it continues included.

        Raises:
            UserError: there is no such row, or no forward read it.
        """
        rows = self.header["rows"]
        if not 0 <= row < len(rows):
            raise UserError(f"--row: expected 0 to {len(rows) - 1}, found {row}")
        texts = [
            {given["offset"]: Cell(text=given["text"], id=given["id"]) for given in each["given"]} for each in rows
        ]
        frames: list[list[Frame]] = [[] for _ in rows]
        for lines in self._by_forward():
            for line in lines:
                _apply(texts[line["row"]], line)
                frames[line["row"]].append(_frame(texts[line["row"]], line))
            before = list(zip(texts, frames, strict=True))
            for line in lines:
                source = line["continues"]
                if source != line["row"]:
                    texts[line["row"]], frames[line["row"]] = dict(before[source][0]), list(before[source][1])
        if not frames[row]:
            raise UserError(f"--row {row}: expected a row that was decoded, found no forward that read it")
        return frames[row]

    def _by_forward(self) -> Iterator[list[Mapping[str, Any]]]:
        together: list[Mapping[str, Any]] = []
        for line in self.lines:
            if together and line["index"] != together[0]["index"]:
                yield together
                together = []
            together.append(line)
        if together:
            yield together


def _apply(cells: dict[int, Cell], line: Mapping[str, Any]) -> None:
    for offset in line["taken_back"]:
        cells.pop(offset, None)
    columns = zip(line["offsets"], line["ids"], line["texts"], line["probabilities"], strict=True)
    for offset, id_, text, probability in columns:
        cells[offset] = Cell(text=text, id=id_, probability=probability, index=line["index"])


def _frame(cells: Mapping[int, Cell], line: Mapping[str, Any]) -> Frame:
    begin, end = line["block"]
    return Frame(
        index=line["index"], block=(begin, end), cells=dict(cells), fresh=line["offsets"], taken_back=line["taken_back"]
    )  # fmt: skip


def record(
    steps: Iterable[Step], lm: LoadedModel, path: str | Path, *, settings: Mapping[str, Any] | None = None
) -> Iterator[Step]:
    """Write the trace of a decoding while its steps pass through.

    Args:
        steps: of ``stream``, or those that ``generate`` kept.
        lm: the model; its tokenizer spells the tokens.
        path: of the file; one of that name is replaced.
        settings: further keys of the header, such as ``describe(decoder)`` and the seed.

    Yields:
        Each step, unchanged.
    """
    with Path(path).open("w", encoding="utf-8") as file:
        block: dict[int, tuple[int, int]] = {}
        for step in steps:
            if not block:
                file.write(_line(_header(step, lm, settings or {})))
                block = {row: (0, end) for row, end in enumerate(_first_ends(step, lm))}
            for row in _rows_told(step):
                file.write(_line(_told(step, lm, row, block)))
            ends = zip(step.state.block_start.tolist(), step.state.block_end.tolist(), strict=True)
            block = dict(enumerate(ends))
            yield step


def read_trace(path: str | Path) -> Trace:
    """Return the trace that a file holds.

    Args:
        path: of the file.

    Returns:
        The trace, checked.

    Raises:
        UserError: there is no such file, or it is no trace of this format.
    """
    path = Path(path)
    try:
        texts = [line for line in read_text(path).split("\n") if line.strip()]
    except UserError as error:
        raise UserError(f"{error}; expected a trace, written with --save-trace") from None
    try:
        header, *lines = [json.loads(line) for line in texts]
    except (ValueError, RecursionError):
        raise UserError(
            f"{path}: expected a trace, JSON Lines, found something else; write one with --save-trace"
        ) from None
    check_lines(path, header, lines)
    return Trace(header=header, lines=lines)


def describe(part: Any) -> Any:
    """Return a decoder or one of its components as plain values: names and fields.

    >>> from unmask.decoding import Threshold
    >>> describe(Threshold(threshold=0.9))
    {'name': 'threshold', 'threshold': 0.9, 'score': 'low_confidence', 'strict': None}
    """
    if isinstance(part, PLAIN):
        return part
    if isinstance(part, (tuple, list)):
        return [describe(each) for each in part]
    name = {"name": part.name} if hasattr(part, "name") else {}
    values = {each.name: getattr(part, each.name) for each in fields(part)} if is_dataclass(part) else {}
    known = {key: value for key, value in values.items() if _is_setting(value)}
    return {**name, **{key: describe(value) for key, value in known.items()}} or type(part).__name__


def _is_setting(value: object) -> bool:
    return isinstance(value, (*PLAIN, tuple, list)) or is_dataclass(value) and not isinstance(value, LoadedModel)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _header(step: Step, lm: LoadedModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header of a trace: model, versions, and the prompt, canvas and given tokens of each row."""
    batch, is_ours = step.state.batch, step.state.is_ours
    rows = []
    for row in range(len(batch.order)):
        is_given = batch.is_canvas[row] & ~is_ours[row]
        prompt = batch.ids[row][(batch.offset[row] < 0) & ~batch.is_pad[row]].tolist()
        given = zip(batch.offset[row][is_given].tolist(), batch.ids[row][is_given].tolist(), strict=True)
        rows.append({
            "prompt": _text(lm, prompt),
            "prompt_ids": prompt,
            "canvas": int(batch.wanted_length[row]),
            "given": [{"offset": offset, "id": token, "text": _text(lm, [token])} for offset, token in given],
        })  # fmt: skip
    found = versions()
    return {
        "unmask_trace": FORMAT,
        "model": lm.source,
        "block_size": batch.block_size,
        "mask_id": lm.mask_id,
        "eos_ids": list(lm.eos_ids),
        **settings,
        "versions": {name: found[name] for name in ("python", "unmask", "torch", "transformers")},
        "rows": rows,
    }


def _first_ends(step: Step, lm: LoadedModel) -> list[int]:
    """Return the canvas offset at which the first block of each row ends; on the text grid it may be shorter."""
    size, prompt = step.state.batch.block_size, step.state.prompt_length
    return [size - length % size if lm.facts.grid == "text" else size for length in prompt.tolist()]


def _rows_told(step: Step) -> list[int]:
    """Return the rows that a step read, or whose text it replaced by another row's, in order."""
    moved = [] if step.picked is None else [row for row, source in enumerate(step.picked.tolist()) if row != source]
    return sorted({*step.live.tolist(), *moved})


def _told(step: Step, lm: LoadedModel, row: int, block: Mapping[int, tuple[int, int]]) -> dict[str, Any]:
    canvas = int(step.state.batch.wanted_length[row])
    mine = (step.at[:, 0] == row) & (step.at[:, 1] < canvas)
    ids = step.tokens[mine].tolist()
    back = [offset for r, offset in step.taken_back.tolist() if r == row and offset < canvas]
    state = step.state
    begin, end = int(state.block_start[row]), int(state.block_end[row])
    if begin != block[row][0] and not bool(state.is_done[row]):  # it has moved on
        begin, end = block[row]
    return {
        "index": step.index,
        "row": row,
        "block": [begin, min(end, canvas)],
        "offsets": step.at[mine, 1].tolist(),
        "ids": ids,
        "texts": [_text(lm, [token]) for token in ids],
        "probabilities": [round(value, 6) for value in step.probabilities[mine].tolist()],
        "taken_back": back,
        "continues": row if step.picked is None else int(step.picked[row]),
    }


def _text(lm: LoadedModel, ids: Sequence[int]) -> str:
    return "" if lm.tokenizer is None else str(lm.tokenizer.decode(list(ids)))
