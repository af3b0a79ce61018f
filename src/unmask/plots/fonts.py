"""Fonts for text of any language: those of the machine that have its characters, or codes where none has them."""

import logging
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from unmask.errors import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.ft2font import FT2Font

LOG = logging.getLogger(__name__)
SANS, MONO = ("DejaVu Sans",), ("DejaVu Sans Mono", "DejaVu Sans")  # matplotlib brings them
FIRST = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic",
    "Malgun Gothic", "Noto Sans", "Arial Unicode MS",
)  # fmt: skip
NUMBER = r"\mathdefault"  # in labels that matplotlib makes of powers of ten
CODE = re.compile(r"⟨([0-9A-F]{4,6})⟩")
NEVER = ("last resort", "lastresort", "cmr", "cmb", "cms", "cmt", "cmm", "cme", "stix", "dejavu s")
WIDE = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "HALFWIDTH", "IDEOGRAPHIC")


def give_fonts(figure: "Figure") -> set[str]:
    """Choose fonts for every text of a figure, and write a code such as ``⟨6F22⟩`` for what no font has.

    Dollar signs are drawn as they are: the texts of a picture are tokens and names, never formulas.

    Args:
        figure: to be saved next.

    Returns:
        The characters that no font of this machine has.
    """
    from matplotlib.text import Text

    missing: set[str] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label.get_text() for label in axis.get_ticklabels()]
            if any(legible(label)[1] for label in labels):  # an axis writes its labels again whenever it is drawn
                missing.update(*(legible(label)[1] for label in labels))
                axis.set_ticks(axis.get_ticklocs(), [legible(label)[0] for label in labels])
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        shown, lost = legible(text.get_text())
        missing |= lost | {
            each for code in CODE.findall(shown) if not _is_drawn(each := chr(int(code, 16)))
        }  # a title is wrapped with its codes
        text.set_parse_math(NUMBER in text.get_text())
        if shown != text.get_text():
            text.set_text(shown)
        base = MONO if "monospace" in text.get_fontfamily() or MONO[0] in text.get_fontfamily() else SANS
        text.set_fontfamily([*base, *_families("".join(sorted(set(shown))))])
    return missing


def say_missing(characters: Iterable[str]) -> None:
    """Log one line about characters that no font has, with what to install; nothing where there are none."""
    found = sorted(set(characters))
    if not found:
        return
    names = [unicodedata.name(each, "") for each in found]
    if any(name.startswith(WIDE) for name in names):
        remedy = "fonts-noto-cjk (Debian, Ubuntu) or Noto Sans CJK"
    elif any(unicodedata.category(each) == "So" for each in found):
        remedy = "fonts-symbola (Debian, Ubuntu)"
    else:
        remedy = "fonts-noto-core (Debian, Ubuntu) or another font that has them"
    listed = printable(" ".join(found[:12])) + (f" and {len(found) - 12} more" if len(found) > 12 else "")
    LOG.warning("no font here has %s; the picture shows their codes; install %s", listed, remedy)


@contextmanager
def without_font_warnings() -> Iterator[None]:
    """Silence matplotlib while it draws: what no font has is said by ``say_missing``, in one line."""
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            yield
    finally:
        log.setLevel(level)


def legible(text: str) -> tuple[str, set[str]]:
    """Return a text that the fonts of this machine can draw, and the characters for which it has codes.

    >>> legible("a → b")
    ('a → b', set())
    """
    lost = {each for each in set(text) - {"\n"} if not _is_drawn(each)}
    if not lost:
        return text, lost
    invisible = {each for each in lost if unicodedata.category(each) in ("Cf", "Mn")}  # joiners, variants of emoji
    written = {ord(each): None if each in invisible else f"⟨{ord(each):04X}⟩" for each in lost}
    return text.translate(written), lost - invisible


def _is_drawn(character: str) -> bool:
    return _has(SANS[0], character) or bool(_families(character))


@cache
def _families(text: str) -> tuple[str, ...]:
    """Return families of this machine, beside DejaVu Sans, that have characters of a text which it has not."""
    wanted = {each for each in text if each != "\n" and not _has(SANS[0], each)}
    found = []
    for family in _candidates() if wanted else ():
        had = {each for each in wanted if _has(family, each)}
        if had:
            found.append(family)
            wanted -= had
        if not wanted:
            break
    return tuple(found)


@cache
def _candidates() -> tuple[str, ...]:
    """Return the families of this machine in the order in which they are tried."""
    from matplotlib import font_manager

    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():  # matplotlib's own list may be older than an installed font
        if path not in known and "emoji" not in path.lower():
            try:
                font_manager.fontManager.addfont(path)
            except (OSError, RuntimeError):  # no scalable font
                continue
    names = {entry.name for entry in font_manager.fontManager.ttflist}
    rest = sorted(name for name in names - set(FIRST) if not name.lower().startswith(NEVER))
    return (*(name for name in FIRST if name in names), *(name for name in rest if "color emoji" not in name.lower()))


@cache
def _has(family: str, character: str) -> bool:
    return any(face.get_char_index(ord(character)) for face in _faces(family))


@cache
def _faces(family: str) -> tuple["FT2Font", ...]:
    """Return a face of a family, as its file has it."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    files = [entry.fname for entry in font_manager.fontManager.ttflist if entry.name == family]
    try:
        return tuple(FT2Font(file) for file in files[:1])
    except (OSError, RuntimeError):  # it was removed since matplotlib made its list
        return ()
