"""The report's parts, as Markdown and as HTML."""

from unmask.study.document import Figure, Heading, Items, Table, Text, to_html, to_markdown

PARTS = [
    Heading("What?", 1), Text("a < b"), Text("**No room**", loud=True), Items(["x", "y"]),
    Table(("", "a|b"), [("row", "[0.5](runs/x/result.json)")]), Figure("figures/f.png", "of [a run](runs/x)"),
]  # fmt: skip


def test_markdown():
    text = to_markdown(PARTS)
    assert text.startswith("# What?\n\na < b\n\n> **No room**\n\n- x\n- y\n\n")
    assert "|  | a\\|b |\n| --- | --- |\n| row | [0.5](runs/x/result.json) |" in text
    assert "![of a run](figures/f.png)\n\n*of [a run](runs/x)*" in text


def test_html_escapes_and_links():
    page = to_html(PARTS, "<What>")
    assert "<title>&lt;What&gt;</title>" in page
    assert "<p>a &lt; b</p>" in page
    assert '<p class="loud"><strong>No room</strong></p>' in page
    assert '<td><a href="runs/x/result.json">0.5</a></td>' in page
    assert '<img src="figures/f.png" alt="of a run">' in page
