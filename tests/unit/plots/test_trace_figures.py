"""Pictures of traces: every ending is a file of its kind, and what is drawn is what the trace tells."""

import json
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from unmask.generate import infill
from unmask.models import ScratchSpec, from_scratch
from unmask.plots.animation import animate_trace
from unmask.plots.flow import flow
from unmask.plots.page import write_page
from unmask.plots.palette import SHADES, ink, shade
from unmask.plots.traces import plot_trace, spelled
from unmask.tracing.record import read_trace, record

SPEC = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    lm, path = from_scratch(SPEC), tmp_path_factory.mktemp("trace") / "t.jsonl"
    infill(lm, "12=___34</script>___5", blank_tokens=3, block_size=4, through=lambda steps: record(steps, lm, path))
    return read_trace(path)


def test_png(trace, tmp_path):
    with Image.open(plot_trace(trace, tmp_path / "t.png")) as picture:
        wide, tall = picture.size
    assert wide > 1000
    assert tall > 400


def test_svg_has_a_square_for_each_commit_and_a_box_for_each_token(trace, tmp_path):
    root = ElementTree.parse(plot_trace(trace, tmp_path / "t.svg")).getroot()
    groups = {group.get("id", ""): group for group in root.iter("{http://www.w3.org/2000/svg}g")}
    squares = groups["PatchCollection_1"].findall("{http://www.w3.org/2000/svg}path")
    assert len(squares) == 6


def test_gif_has_a_picture_for_each_forward_and_one_that_stays(trace, tmp_path):
    with Image.open(animate_trace(trace, tmp_path / "t.gif")) as picture:
        assert picture.n_frames == 6 + 1
        picture.seek(6)
        assert picture.info["duration"] > 1000


def test_page_is_whole_and_replays_the_trace(trace, tmp_path):
    page = write_page(trace, tmp_path / "t.html").read_text()
    assert not re.search(r"@[A-Z]+@|https?://", page)
    assert page.count("</script>") == 2  # the prompt and the tokens cannot close one
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL).group(1))
    cells = {}
    for frame in data["frames"]:
        cells |= frame["cells"]
        for offset in frame["gone"]:
            del cells[str(offset)]
    assert [cells[str(offset)][0] for offset in range(data["canvas"])] == spelled(
        trace, trace.frames()[-1], data["canvas"]
    )


def test_lines_are_as_wide_as_they_may_be_and_end_at_line_breaks():
    boxes = flow(["aaa", "bb", "c⏎", "d", "eeeeeeee"], 7)
    assert [(box.line, round(box.left, 1), box.width) for box in boxes] == [
        (0, 0, 3), (0, 3.4, 2), (1, 0, 2), (2, 0, 1), (3, 0, 8)]  # fmt: skip


def test_doubts_are_darker_and_ink_is_legible():
    def light(colour):
        return sum(weight * part for weight, part in zip((0.3, 0.59, 0.11), bytes.fromhex(colour[1:]), strict=True))

    for probability, colour in SHADES:
        assert shade(probability) == colour
    lightness = [light(shade(step / 10)) for step in range(9)]
    assert lightness == sorted(lightness)
    assert abs(light(shade(0.8)) - light(shade(1.0))) < 12
    for step in range(101):
        colour = shade(step / 100)
        assert abs(light(colour) - light(ink(colour))) > 80
    assert shade(1.0000001) == SHADES[-1][1]
