"""The style of all pictures: colours that stay, texts of any language, one row for a prompt."""

import logging

import pytest

from unmask.plots import fonts
from unmask.plots.flow import flow
from unmask.plots.style import KNOWN, SPARE, colours, figure, lines, looks, save


def test_colours_of_arms_stay_whatever_their_order_and_differ_in_a_picture():
    names = ["zeta", "vanilla", "alpha", "mine", "blockwise"]
    found = colours(names)
    assert found == colours(names[::-1])
    assert found["vanilla"] == KNOWN["vanilla"][0]
    assert len(set(found.values())) == len(names)
    many = [f"arm {number}" for number in range(3 * len(SPARE))]
    assert len({(look["color"], look["marker"]) for look in looks(many).values()}) == len(many)


def test_what_no_font_has_is_a_code_and_said_in_one_line(tmp_path, caplog, recwarn, monkeypatch):
    monkeypatch.setattr(fonts, "_candidates", lambda: ())
    fonts._families.cache_clear()
    made, (axis,) = figure(5, 2, title="漢 costs $5 and $6?", subtitle="字")
    axis.set_yticks([0], ["本"])
    with caplog.at_level(logging.WARNING):
        save(made, tmp_path / "a.png")
    fonts._families.cache_clear()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("no font here has 字 本 漢; the picture shows their codes; install fonts-noto")
    assert not recwarn.list
    assert made.texts[0].get_text() == "⟨6F22⟩ costs $5 and $6?"


@pytest.mark.parametrize(("text", "columns", "found"), [("a\nb", 9, ["a⏎b"]), ("漢字漢字", 4, ["漢字", "漢字"])])
def test_titles_are_in_rows_of_their_width(text, columns, found, monkeypatch):
    monkeypatch.setattr("unmask.plots.style.legible", lambda text: (text, set()))
    assert lines(text, columns, 2) == found


def test_a_chinese_character_is_as_wide_as_two_letters():
    assert [box.width for box in flow(["漢字", "ab"], 20)] == [4, 2]
