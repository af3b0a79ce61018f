"""Shows examples as training lays them out: prompt, response by blocks, end of turn, filler and tail, in colours."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from rich.console import Console, ConsoleOptions
from rich.rule import Rule
from rich.text import Text

from unmask.config.defaults import Layout
from unmask.core.attention import Grid
from unmask.core.batch import Batch
from unmask.core.random import Draws
from unmask.data.collate import Collator
from unmask.data.records import Encoded
from unmask.runtime.transformers_api import Tokenizer

Kind = Literal["prompt", "response", "end", "filler", "tail"]

# Two shades of a kind alternate from block to block. Dark text on a light ground reads on light and dark terminals.
STYLES: dict[str, tuple[str, str]] = {
    "prompt": ("grey58", "grey58"),
    "response": ("#1b1b1b on #b5dfae", "#1b1b1b on #93c9e3"),
    "end": ("bold white on #b3261e", "bold white on #b3261e"),
    "filler": ("#1b1b1b on #ecd28b", "#1b1b1b on #e0bc5a"),
    "tail": ("#b9a8d0 on #4a3f63", "#b9a8d0 on #5d5179"),
}
LEGEND: dict[str, str] = {
    "prompt": "prompt",
    "response": "response, by blocks",
    "end": "end of turn",
    "filler": "filler to the end of the block",
    "tail": "tail of hidden blocks",
}


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A run of tokens of one kind within one block.

    Args:
        kind: prompt, response, end of turn, filler or tail.
        block: index of the block of the canvas; -1 in the prompt.
        text: decoded, special tokens included; of filler and tail, that of one token.
        tokens: how many there are.
    """

    kind: Kind
    block: int
    text: str
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One example of a preview.

    Args:
        source: where the row came from.
        block_size: columns of a block.
        segments: the whole row, in order.
        grid: where blocks are counted from; on the grid ``text`` the prompt may take some columns of the first block.
    """

    source: str
    block_size: int
    segments: tuple[Segment, ...]
    grid: Grid = "answer"

    def tokens(self, *kinds: Kind) -> int:
        """Return how many tokens of these kinds there are."""
        return sum(segment.tokens for segment in self.segments if segment.kind in kinds)

    @property
    def title(self) -> str:
        """Source of the row and its sizes in tokens and blocks, in one line."""
        blocks = 1 + max(segment.block for segment in self.segments)
        sizes = [f"prompt {self.tokens('prompt')}", f"response {self.tokens('response', 'end')}"]
        sizes += [f"{kind} {n}" for kind in ("filler", "tail") if (n := self.tokens(kind))]
        source = self.source or "example"
        return f"{source}: {', '.join(sizes)} tokens; {blocks} blocks of {self.block_size}{self._shorter}"

    @property
    def _shorter(self) -> str:
        """Return a phrase on the first block where the prompt takes some of its columns; else an empty text."""
        lead = self.tokens("prompt") % self.block_size if self.grid == "text" else 0
        return f", counted from the text: the first {self.block_size - lead}" if lead else ""


def coloured(examples: Sequence[Shown]) -> Iterator[Rule | Text]:
    """Yield a legend, then each example under its title."""
    yield _legend()
    for shown in examples:
        yield Rule(Text(shown.title), align="left", style="grey50")
        yield _colour(shown)


def marked(examples: Sequence[Shown]) -> str:
    """Return the examples as text, each kind of token with its mark."""
    lines = ["Legend: [prompt] text, |0| text of block 0, {end: its token}, {filler: token x count}, {tail: x count}"]
    for shown in examples:
        parts, block = ["[prompt] "], -1
        for segment in shown.segments:
            if segment.block != block:
                parts.append(f"\n|{segment.block}| ")
                block = segment.block
            parts.append(_mark(segment))
        lines += ["", f"--- {shown.title}", "".join(parts)]
    return "\n".join(lines)


def _colour(shown: Shown) -> Text:
    line = Text()
    for segment in shown.segments:
        text = segment.text
        if segment.kind == "response":
            text = text.replace("\n", "↵\n")
        elif segment.kind in ("filler", "tail") and segment.tokens > 1:
            text = f"{text}×{segment.tokens}"
        line.append(text, STYLES[segment.kind][segment.block % 2])
    return line


def _legend() -> Text:
    line = Text()
    for kind, name in LEGEND.items():
        if kind == "response":
            half = len(name) // 2
            line.append(f" {name[:half]}", STYLES[kind][0]).append(f"{name[half:]} ", STYLES[kind][1])
        else:
            line.append(f" {name} ", STYLES[kind][0])
        line.append("  ")
    return line


def _mark(segment: Segment) -> str:
    if segment.kind == "end":
        return f" {{end: {segment.text}}}"
    if segment.kind == "filler":
        return f" {{filler: {segment.text} x {segment.tokens}}}"
    return f"{{tail: x {segment.tokens}}}" if segment.kind == "tail" else segment.text


HIDDEN = "░"


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Examples to print with rich, as plain text, or as JSON."""

    examples: tuple[Shown, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Rule | Text]:
        """Print in colours, or with marks where the terminal has none."""
        plain = console.no_color or console.color_system is None
        yield from [Text(marked(self.examples))] if plain else coloured(self.examples)

    def as_text(self) -> str:
        """Return the examples as text without colours, each kind of token with its mark."""
        return marked(self.examples)

    def as_dict(self) -> dict[str, Any]:
        """Return the examples and their segments as JSON types."""
        return {
            "examples": [
                {
                    "place": e.source,
                    "block_size": e.block_size,
                    "grid": e.grid,
                    "segments": [asdict(s) for s in e.segments],
                }
                for e in self.examples
            ]
        }


def preview(
    encoded: Sequence[Encoded],
    tokenizer: Tokenizer,
    *,
    layout: Layout,
    filler_id: int,
    count: int = 3,
    end_id: int | None = None,
    seed: int = 0,
    cycle: tuple[int, ...] = (),
) -> Preview:
    """Return the first examples, laid out as training will, with the kind of every token.

    Args:
        encoded: examples.
        tokenizer: to decode them.
        layout: blocks, canvas and rows.
        filler_id: end-of-text token after the end of an answer.
        count: how many examples.
        end_id: the end-of-turn token, by default that of ``encoded``; an answer without it was truncated.
        seed: of the lengths of the tails.
        cycle: tokens that stand after an answer in turn, instead of ``filler_id``.

    Returns:
        Something that rich prints, and that can be turned into text or JSON types.
    """
    collate = Collator(layout=layout, filler_id=filler_id, draws=Draws(seed=seed), cycle=cycle)
    end_id = getattr(encoded, "end_id", None) if end_id is None else end_id
    shown = []
    for order, example in enumerate(encoded[:count]):
        batch = collate([{**vars(example), "order": order}])
        segments = tuple(_segments(batch, tokenizer, end_id))
        shown.append(Shown(source=example.source, block_size=collate.block_size, segments=segments, grid=collate.grid))
    return Preview(examples=tuple(shown))


def _segments(batch: Batch, tokenizer: Tokenizer, end_id: int | None) -> Iterator[Segment]:
    """Yield the segments of the one row of a batch, cut where the kind or the block changes."""
    ids, blocks = batch.ids[0].tolist(), batch.block[0].tolist()
    end = int(batch.is_text[0].nonzero().max())
    layers = (batch.is_text[0].tolist(), batch.is_filled[0].tolist(), batch.is_canvas[0].tolist())
    kinds: list[Kind] = [
        "response" if text else "filler" if filled else "tail" if canvas else "prompt"
        for text, filled, canvas in zip(*layers, strict=True)
    ]
    if end_id is None or ids[end] == end_id:
        kinds[end] = "end"
    decoded = _Decoded(tokenizer, ids)
    alike = [(kind, block, i if kind == "filler" else 0) for kind, block, i in zip(kinds, blocks, ids, strict=True)]
    for (kind, block, _), run in groupby(range(len(ids)), key=alike.__getitem__):
        columns = list(run)
        if kind in ("prompt", "response"):
            text = decoded.until(columns[-1] + 1, final=columns[-1] + 1 == end + (kinds[end] != "end"))
        else:
            text = HIDDEN if kind == "tail" else decoded.of(ids[columns[0]])
        yield Segment(kind=kind, block=block, text=text, tokens=len(columns))


class _Decoded:
    """Decodes a row in chunks: a chunk alone would lose its spaces, and a letter may be split between two blocks."""

    def __init__(self, tokenizer: Tokenizer, ids: Sequence[int]) -> None:
        self._decode: Callable[[Sequence[int]], str] = lambda tokens: tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        self._ids = ids
        self._shown = 0

    def until(self, column: int, *, final: bool) -> str:
        text = self._decode(self._ids[:column])
        if not final:
            text = text.rstrip("\ufffd")  # an unfinished letter waits for its last token
        trained, self._shown = text[self._shown :], max(len(text), self._shown)
        return trained

    def of(self, token: int) -> str:
        return self._decode([token])
