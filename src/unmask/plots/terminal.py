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

GIVEN, OPEN, LATER, EDGE = "bold", "bold", "dim", "bold blue"
KEY = (0.3, 0.6, 0.9, 1.0)


def spell(lm: LoadedModel, token: int) -> str:
    """Return the text of one token: an end as a mark, white space made visible where it would break the line."""
    assert lm.tokenizer is not None
    return visible(str(lm.tokenizer.decode([token])), is_end=token in lm.eos_ids)


def frame(step: Step, lm: LoadedModel, *, row: int = 0) -> Text:
    """Draw a row's canvas as coloured text.

    A token's colour shows its confidence when it was written; fresh tokens are underlined, given ones bold, hidden
    ones dots; the active block stands in brackets.

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
            text.append("∎", style=LATER)
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
    with Live(console=console or Console(stderr=True), refresh_per_second=20, transient=False) as live:
        for step in steps:
            forwards, tokens = forwards + step.forwards, tokens + len(step.at)
            status = Text(f"forward {forwards} · {tokens} tokens · {tokens / forwards:.2f} tokens per forward", "dim")
            live.update(Group(Text(title, "bold"), frame(step, lm), status.append_text(_key())))
            time.sleep(pause)
            yield step


def _after_end(step: Step, lm: LoadedModel, row: int) -> list[bool]:
    """Return for each column whether it is after the end of a finished answer: filler that no step wrote."""
    state = step.state
    is_end = state.batch.is_canvas[row] & torch.isin(state.ids[row], torch.tensor(lm.eos_ids, device=state.ids.device))
    is_past = (is_end.cumsum(0) - is_end.long() > 0) & is_end & state.is_ours[row] & state.is_done[row]
    past: list[bool] = is_past.tolist()
    return past


def _style(probability: float, *, is_fresh: bool) -> str:
    colour = shade(probability)
    return f"{'bold underline ' if is_fresh else ''}{ink(colour)} on {colour}"


def _key() -> Text:
    """Return a line that explains the colours."""
    key = Text(" · confidence: ")
    for probability in KEY:
        key.append(f" {probability:g} ", style=_style(probability, is_fresh=False))
    return key
