"""Examples of a preview, cut into segments, as a terminal shows them: in colours, or with marks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.rule import Rule
from rich.text import Text

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
        kind: what they are.
        block: block of the canvas; -1 in the prompt.
        text: decoded, special tokens included; of filler and tail, one token's.
        tokens: how many.
    """

    kind: Kind
    block: int
    text: str
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One example of a preview.

    Args:
        place: where the row came from.
        block_size: the grid.
        segments: the whole row, in order.
    """

    place: str
    block_size: int
    segments: tuple[Segment, ...]

    def tokens(self, *kinds: Kind) -> int:
        """Count the tokens of some kinds."""
        return sum(segment.tokens for segment in self.segments if segment.kind in kinds)

    @property
    def title(self) -> str:
        """Place and sizes in one line."""
        blocks = 1 + max(segment.block for segment in self.segments)
        sizes = [f"prompt {self.tokens('prompt')}", f"response {self.tokens('response', 'end')}"]
        sizes += [f"{kind} {n}" for kind in ("filler", "tail") if (n := self.tokens(kind))]
        return f"{self.place or 'example'}: {', '.join(sizes)} tokens; {blocks} blocks of {self.block_size}"


def coloured(examples: Sequence[Shown]) -> Iterator[Rule | Text]:
    """Yield a legend, then each example under its title."""
    yield _legend()
    for shown in examples:
        yield Rule(Text(shown.title), align="left", style="grey50")
        yield _colour(shown)


def marked(examples: Sequence[Shown]) -> str:
    """Write the examples with their parts marked."""
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
