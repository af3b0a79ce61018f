"""The denoising of one answer, live in a terminal."""

import time
from collections.abc import Iterable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from unmask.decoding import Step
from unmask.models import LoadedModel

FRESH, OPEN, LATER = "#000000 on #7ee787", "bright_black", "grey30"
BLOCKS = ("bright_cyan", "bright_magenta")


def spell(lm: LoadedModel, token: int) -> str:
    """Write one token: an end as a mark, white space made visible where it would break the line."""
    if token in lm.eos_ids:
        return "∎"
    return str(lm.tokenizer.decode([token])).replace("\n", "⏎").replace("\t", "⇥")


def frame(step: Step, lm: LoadedModel, *, row: int = 0) -> Text:
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
        text.append(spell(lm, int(state.ids[row, column])), style=style)
    return text


def watch(
    steps: Iterable[Step], lm: LoadedModel, *, title: str = "", console: Console | None = None, pause: float = 0.0
) -> Iterator[Step]:
    """Draw steps as they come and pass them on; the last frame stays on the screen.

    Args:
        steps: of one row.
        lm: spells tokens.
        title: a line above the canvas, for example the prompt.
        console: where; stderr unless given.
        pause: seconds between frames, where decoding is too fast to watch.
    """
    forwards = tokens = 0
    with Live(console=console or Console(stderr=True), refresh_per_second=20, transient=False) as live:
        for step in steps:
            forwards, tokens = forwards + 1, tokens + len(step.at)
            status = Text(f"forward {forwards} · {tokens} tokens · {tokens / forwards:.2f} tokens per forward", "dim")
            live.update(Group(Text(title, "bold"), frame(step, lm), status))
            time.sleep(pause)
            yield step
