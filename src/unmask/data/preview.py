"""What training will see, for the eye: prompt, response by blocks, end of turn, filler and tail, each in its colour."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from unmask.canvas import Batch
from unmask.data.collate import Collator
from unmask.data.paint import Kind, Segment, Shown, coloured, marked
from unmask.data.rows import Encoded
from unmask.defaults import Layout
from unmask.seeds import Draws

HIDDEN = "░"


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Examples to print with rich, as plain text, or as JSON."""

    examples: tuple[Shown, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Print in colours, or with marks where the terminal has none."""
        plain = console.no_color or console.color_system is None
        yield from [Text(marked(self.examples))] if plain else coloured(self.examples)

    def as_text(self) -> str:
        """Mark the parts without colours."""
        return marked(self.examples)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "examples": [
                {"place": e.place, "block_size": e.block_size, "segments": [asdict(s) for s in e.segments]}
                for e in self.examples
            ]
        }


def preview(
    encoded: Sequence[Encoded],
    tokenizer: Any,
    *,
    layout: Layout,
    filler_id: int,
    count: int = 3,
    end_id: int | None = None,
    seed: int = 0,
) -> Preview:
    """Lay out the first examples as training will, and name the parts.

    Args:
        encoded: examples.
        tokenizer: to decode them.
        layout: grid, canvas and rows; see ``Collator``.
        filler_id: end-of-text token after the end of an answer.
        count: how many examples.
        end_id: the end-of-turn token, by default that of ``encoded``; to tell answers that were truncated.
        seed: of the tails.
    """
    collate = Collator(layout=layout, filler_id=filler_id, draws=Draws(seed=seed))
    end_id = getattr(encoded, "end_id", None) if end_id is None else end_id
    shown = []
    for order, example in enumerate(encoded[:count]):
        batch = collate([{**vars(example), "order": order}])
        segments = tuple(_segments(batch, tokenizer, end_id))
        shown.append(Shown(place=example.place, block_size=collate.block_size, segments=segments))
    return Preview(examples=tuple(shown))


def _segments(batch: Batch, tokenizer: Any, end_id: int | None) -> Iterator[Segment]:
    """Cut the one row of a batch where its kind or its block changes."""
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
    for (kind, block), run in groupby(range(len(ids)), key=lambda column: (kinds[column], blocks[column])):
        columns = list(run)
        if kind in ("prompt", "response"):
            text = decoded.until(columns[-1] + 1, final=columns[-1] + 1 == end + (kinds[end] != "end"))
        else:
            text = HIDDEN if kind == "tail" else decoded.of(ids[columns[0]])
        yield Segment(kind=kind, block=block, text=text, tokens=len(columns))


class _Decoded:
    """Decodes a row piece by piece: a piece alone would lose its spaces, and a letter may straddle two blocks."""

    def __init__(self, tokenizer: Any, ids: Sequence[int]) -> None:
        self._decode = lambda tokens: tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        self._ids = ids
        self._shown = 0

    def until(self, column: int, *, final: bool) -> str:
        text = self._decode(self._ids[:column])
        if not final:
            text = text.rstrip("\ufffd")  # an unfinished letter waits for its last token
        piece, self._shown = text[self._shown :], max(len(text), self._shown)
        return piece

    def of(self, token: int) -> str:
        return self._decode([token])
