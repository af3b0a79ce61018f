"""A report as a list of sections, written once and rendered as Markdown and as HTML.

Texts carry a little Markdown: ``[text](link)``, ``**bold**``, ```code```.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888; }
img { max-width: 100%; }
figcaption, .small { color: #555; font-size: 14px; }
.loud { border-left: 4px solid #e4572e; padding: .5rem 1rem; background: #fdf0ec; }
a { color: #2a5d9f; text-decoration: none; } a:hover { text-decoration: underline; }
@media (prefers-color-scheme: dark) {
  body { background: #161616; color: #e6e6e6; } th, td { border-color: #444; } a { color: #8ab4f8; }
  figcaption, .small { color: #aaa; } .loud { background: #3a211b; } img { background: white; }
}
""".strip()


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; a loud one is a warning that should not be missed."""

    text: str
    loud: bool = False


@dataclass(frozen=True)
class Items:
    """A list of texts with bullets."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table; every row has as many cells as there are heads."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A picture, by its path relative to the report."""

    path: str
    caption: str


Section = Heading | Text | Items | Table | Figure


def to_markdown(sections: Sequence[Section]) -> str:
    """Return a report as GitHub's Markdown."""
    return "\n\n".join(_markdown(section) for section in sections) + "\n"


def _markdown(section: Section) -> str:
    match section:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Text(text, loud):
            return f"> {text}" if loud else text
        case Items(items):
            return "\n".join(f"- {item}" for item in items)
        case Table(heads, rows):
            lines = [heads, ["---"] * len(heads), *rows]
            return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        case Figure(path, caption):
            return f"![{_without_links(caption)}]({path})\n\n*{caption}*"


def to_html(sections: Sequence[Section], title: str) -> str:
    """Return a report as one page without scripts; pictures stay files beside it."""
    body = "\n".join(_html(section) for section in sections)
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    )
    style = f"<style>\n{STYLE}\n</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}{style}</head>\n<body>\n{body}\n</body></html>\n'


def _html(section: Section) -> str:
    match section:
        case Heading(text, level):
            return f"<h{level}>{inline(text)}</h{level}>"
        case Text(text, loud):
            return f'<p class="loud">{inline(text)}</p>' if loud else f"<p>{inline(text)}</p>"
        case Items(items):
            return "<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>"
        case Table(heads, rows):
            head = "".join(f"<th>{inline(cell)}</th>" for cell in heads)
            lines = "".join("<tr>" + "".join(f"<td>{inline(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
            return f"<table><thead><tr>{head}</tr></thead><tbody>\n{lines}</tbody></table>"
        case Figure(path, caption):
            source, label = html.escape(path, quote=True), html.escape(_without_links(caption), quote=True)
            return f'<figure><img src="{source}" alt="{label}"><figcaption>{inline(caption)}</figcaption></figure>'


def _without_links(text: str) -> str:
    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"\1", text)


def inline(text: str) -> str:
    """Return a text's HTML, its little Markdown rendered and all else escaped.

    >>> inline("**a** < [b](runs/c)")
    '<strong>a</strong> &lt; <a href="runs/c">b</a>'
    """
    text = html.escape(text, quote=True)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r'<a href="\2">\1</a>', text)
