"""Pictures of runs, on disk and in a terminal, from what a run has really logged."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from unmask.cli.main import app
from unmask.data import Encoded
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import Blockwise
from unmask.plots.braille import curves
from unmask.plots.live import Board, LiveRun
from unmask.train import TrainRun, train


def trained(out, console=None, steps=6):
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=2), device="cpu")
    data = [Encoded(prompt=[1, 2], answer=[3 + i % 4, 4, 5, lm.filler_id], source=f"row {i}") for i in range(12)]
    run = TrainRun(objective=Blockwise(block_size=2), steps=steps, batch_size=4, lr=1e-3, eval_every=2)
    show = LiveRun("runs/a", console=console) if console else False
    answer = [{"source": "x", "prompt": "1\n2", "expected": "3", "text": "4"}]
    train(lm, data[4:], run, out=out, held_out=data[:4], show=show, sample=lambda: answer, evaluate=lambda: {
        "held_out_bound": 1.25})  # fmt: skip
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [trained(folder / "a"), trained(folder / "b", steps=4)]


def plotted(*arguments):
    return CliRunner().invoke(app, ["plot", *map(str, arguments)])


@pytest.mark.parametrize("count", [1, 2])
def test_one_command_draws_one_run_or_several(runs, tmp_path, count):
    out = tmp_path / "loss.svg"
    done = plotted(*runs[:count], "--out", out)
    assert done.exit_code == 0, done.output
    assert out.stat().st_size > 5000


def test_what_cannot_be_drawn_is_said(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "young").mkdir()
    (tmp_path / "young/metrics.jsonl").write_text('{"step": 0, "held_out_loss": 1.0}\n')
    (tmp_path / "trace.jsonl").write_text("")
    for sources, said in (
        ((tmp_path / "empty",), "expected a folder of unmask sft, found no metrics.jsonl"),
        ((tmp_path / "young",), "expected a run with at least one step, found none yet"),
        ((runs[0], tmp_path / "none"), "none: expected a trace or the folder of a run, found no file"),
        ((runs[0], tmp_path / "trace.jsonl"), "expected one trace, or folders of runs, found files: 1, folders: 1"),
    ):
        done = plotted(*sources, "--out", tmp_path / "x.png")
        assert done.exit_code == 2
        assert said in done.output
    assert "expected a file that ends in .png, .svg" in plotted(runs[0], "--out", tmp_path / "x.gif").output


def test_the_live_view_shows_the_run(tmp_path):
    screen = io.StringIO()
    trained(tmp_path / "a", Console(file=screen, force_terminal=True, width=110, height=50))
    text = screen.getvalue()
    for shown in ("step 6 of 6", "held-out loss", "1.2500", "block 1", "0.875–1", "1⏎2", "answers at step 6"):
        assert shown in text


def test_watch_prints_a_run_where_there_is_no_terminal(runs):
    done = CliRunner().invoke(app, ["watch", str(runs[0])])
    assert done.exit_code == 0
    assert "step 6 of 6" in done.output
    assert "answers at step 6" in done.output
    assert "found no run.json" in CliRunner().invoke(app, ["watch", str(runs[0].parent)]).output


@pytest.mark.parametrize(("width", "height"), [(80, 24), (110, 50), (60, 40)])
def test_the_picture_fits_the_terminal(runs, width, height):
    lines = [json.loads(line) for line in (runs[0] / "metrics.jsonl").read_text().splitlines()]
    board = Board("runs/a")
    board.start(6, 6, lines)
    board.answers([{"step": 6, "prompt": "a" * 999, "expected": "b", "text": "c"}])
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(board.picture(width, height))
    drawn = console.file.getvalue().splitlines()
    assert len(drawn) < height
    assert max(map(len, drawn)) <= width


def test_a_falling_curve_falls():
    drawn = [line.plain for line in curves({"red": [(0, 2.0), (1, 1.0)]}, width=12, height=4, right=1)]
    assert drawn[0].startswith("2 ")
    assert drawn[-1].startswith("1 ")
    assert drawn[0][2:].strip() == "⠁"
    assert drawn[-1][2:].strip() == "⢀"
