"""The denoising of one answer, live in a terminal."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from unmask.decoding import Step

FRESH, OPEN, LATER = "bold black on bright_green", "bright_black", "grey30"
BLOCKS = ("bright_cyan", "bright_magenta")


def spell(tokenizer: Any, token: int) -> str:
    """Write one token, white space made visible where it would break the line."""
    return str(tokenizer.decode([token])).replace("\n", "⏎").replace("\t", "⇥")


def frame(step: Step, tokenizer: Any, *, row: int = 0) -> Text:
    """Draw a row's canvas: fresh tokens marked, blocks in alternating colours, hidden tokens as dots."""
    state, batch = step.state, step.state.batch
    fresh = {int(offset) for r, offset in step.at.tolist() if r == row}
    text = Text()
    columns = (batch.offset[row] >= 0).nonzero().flatten().tolist()
    for column in columns:
        offset = int(batch.offset[row, column])
        block = offset // batch.block_size
        if bool(state.is_open[row, column]):
            text.append("·", style=OPEN if offset < int(state.block_end[row]) else LATER)
            continue
        style = FRESH if offset in fresh else BLOCKS[block % 2]
        text.append(spell(tokenizer, int(state.ids[row, column])), style=style)
    return text


def watch(
    steps: Iterable[Step], tokenizer: Any, *, title: str = "", console: Console | None = None, pause: float = 0.0
) -> Iterator[Step]:
    """Draw steps as they come and pass them on; the last frame stays on the screen.

    Args:
        steps: of one row.
        tokenizer: spells tokens.
        title: a line above the canvas, for example the prompt.
        console: where; stderr unless given.
        pause: seconds between frames, where decoding is too fast to watch.
    """
    import time

    forwards = tokens = 0
    with Live(console=console or Console(stderr=True), refresh_per_second=20, transient=False) as live:
        for step in steps:
            forwards, tokens = forwards + 1, tokens + len(step.at)
            status = Text(f"forward {forwards} · {tokens} tokens · {tokens / forwards:.2f} tokens per forward", "dim")
            live.update(Group(Text(title, "bold"), frame(step, tokenizer), status))
            time.sleep(pause)
            yield step
