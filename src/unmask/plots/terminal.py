"""The denoising of one answer, live in a terminal."""

import time
from collections.abc import Iterable, Iterator

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from unmask.decoding import Step
from unmask.models import LoadedModel
from unmask.plots.flow import visible
from unmask.plots.palette import ink, shade
from unmask.plots.style import one_row

GIVEN, OPEN, LATER, EDGE = "bold", "bold", "dim", "bold blue"
KEY = (0.3, 0.6, 0.9, 1.0)


def spell(lm: LoadedModel, token: int) -> str:
    """Return the text of one token: an end as a mark, white space made visible where it would break the line."""
    assert lm.tokenizer is not None
    return visible(str(lm.tokenizer.decode([token])), is_end=token in lm.eos_ids)


def frame(step: Step, lm: LoadedModel, *, row: int = 0) -> Text:
    """Draw a row's canvas as coloured text.

    A token's colour shows its confidence when it was written; fresh tokens are underlined, given ones bold, hidden
    ones dots, those after the end dim; the active block stands in brackets. Line breaks are ⏎: all is one row.

    Args:
        step: the step that was taken.
        lm: spells tokens.
        row: index of the row in the batch.

    Returns:
        The text, for a terminal.
    """
    state, batch = step.state, step.state.batch
    fresh = {int(offset) for r, offset in step.at.tolist() if r == row}
    begin, end = (-1, -1) if bool(state.is_done[row]) else (int(state.block_start[row]), int(state.block_end[row]))
    is_past = _after_end(step, lm, row)
    text = Text()
    for column in batch.is_wanted[row].nonzero().flatten().tolist():
        offset = int(batch.offset[row, column])
        if offset == begin:
            text.append("⟦", style=EDGE)
        if bool(state.is_open[row, column]):
            text.append("·", style=OPEN if begin <= offset < end else LATER)
        elif is_past[column]:
            text.append(spell(lm, int(state.ids[row, column])), style=LATER)
        else:
            style = GIVEN
            if bool(state.is_ours[row, column]):
                style = _style(float(state.log_prob[row, column].exp()), is_fresh=offset in fresh)
            text.append(spell(lm, int(state.ids[row, column])), style=style)
        if offset == end - 1:
            text.append("⟧", style=EDGE)
    return text


def watch(
    steps: Iterable[Step], lm: LoadedModel, *, title: str = "", console: Console | None = None, pause: float = 0.0
) -> Iterator[Step]:
    """Draw steps as they come and pass them on; the last frame stays on the screen.

    Args:
        steps: of one row.
        lm: spells tokens.
        title: a line above the canvas, for example the prompt.
        console: where to draw; stderr unless given.
        pause: seconds between frames, where decoding is too fast to watch.

    Yields:
        The steps, unchanged.
    """
    forwards = tokens = 0
    console = console or Console(stderr=True)
    with Live(console=console, refresh_per_second=20, transient=False, vertical_overflow="crop") as live:
        for step in steps:
            forwards, tokens = forwards + step.forwards, tokens + len(step.at)
            status = Text(f"forward {forwards} · {tokens} tokens · {tokens / forwards:.2f} tokens per forward", "dim")
            text = frame(step, lm)
            parts = [Text(one_row(title), "bold", no_wrap=True, overflow="ellipsis")] if title else []
            below = [status, key(step)]
            room = console.height - sum(_height(part, console) for part in (*parts, *below)) - 1
            is_last = bool(step.state.is_done[0])
            live.update(Group(*parts, text if is_last else _window(text, console, room), *below))
            if is_last:
                live.vertical_overflow = "visible"  # what is finished may scroll
            time.sleep(pause)
            yield step
    if not console.is_terminal:  # there the last frame has no end of its line
        console.line()


def key(step: Step, *, row: int = 0) -> Text:
    """Return a line that explains the colours: confidence, given tokens if there are any, those after the end."""
    line = Text("confidence: ")
    for probability in KEY:
        line.append(f" {probability:g} ", style=_style(probability, is_fresh=False))
    state = step.state
    given = state.batch.is_canvas[row] & state.batch.is_wanted[row] & ~state.is_ours[row]
    if bool((given & ~state.is_open[row]).any()):
        line.append(" · ").append("given", style=GIVEN)
    line.append(" · ").append("after the end", style=LATER)
    return line


def _window(text: Text, console: Console, room: int) -> Text:
    """Return the lines of a canvas that fit a terminal: those around the active block."""
    lines = text.wrap(console, console.width)
    room = max(room, 1)
    if len(lines) <= room:
        return text
    active = next((number for number, line in enumerate(lines) if "⟦" in line.plain), len(lines) - 1)
    first = min(max(active - room // 2, 0), len(lines) - room)
    return Text("\n").join(lines[first : first + room])


def _height(text: Text, console: Console) -> int:
    return 1 if text.no_wrap else len(text.wrap(console, console.width))


def _after_end(step: Step, lm: LoadedModel, row: int) -> list[bool]:
    """Return for each column whether it was written after an end token, and no given token follows."""
    state, batch = step.state, step.state.batch
    is_ours = batch.is_canvas[row] & state.is_ours[row] & ~state.is_open[row]
    is_end = is_ours & torch.isin(state.ids[row], torch.tensor(lm.eos_ids, device=state.ids.device))
    is_given = batch.is_wanted[row] & ~state.is_ours[row] & ~state.is_open[row]
    given_later = is_given.flip(0).cumsum(0).flip(0) > 0
    is_end &= ~given_later
    past: list[bool] = ((is_end.cumsum(0) - is_end.long() > 0) & is_ours).tolist()
    return past


def _style(probability: float, *, is_fresh: bool) -> str:
    colour = shade(probability)
    return f"{'bold underline ' if is_fresh else ''}{ink(colour)} on {colour}"
