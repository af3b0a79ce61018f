"""The colours of probabilities: low ones orange and dark, high ones pale blue; distinct also in grey."""

SHADES = ((0.0, "#a63603"), (0.5, "#f0904a"), (0.8, "#f7d3ae"), (1.0, "#bfd9ee"))
EDGE, BAND, INK, QUIET, ACTIVE = "#9fb3c6", "#f3f5f7", "#1f2933", "#6b7785", "#2f6db3"
PAST = "#e3e6e9"  # what follows the end of an answer


def shade(probability: float) -> str:
    """Return the colour of a probability as ``#rrggbb``.

    >>> shade(1.0), shade(0.5), shade(0.25)
    ('#bfd9ee', '#f0904a', '#cb6326')
    """
    for (low, dark), (high, light) in zip(SHADES, SHADES[1:], strict=False):
        if probability <= high:
            part = max(probability - low, 0.0) / (high - low)
            mixed = (round(a + part * (b - a)) for a, b in zip(_rgb(dark), _rgb(light), strict=True))
            return "#" + "".join(f"{value:02x}" for value in mixed)
    return SHADES[-1][1]


def ink(colour: str) -> str:
    """Return the colour of text that is legible on a colour: white on dark ones, ``INK`` on others."""
    red, green, blue = _rgb(colour)
    return "#ffffff" if 0.3 * red + 0.59 * green + 0.11 * blue < 128 else INK


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
