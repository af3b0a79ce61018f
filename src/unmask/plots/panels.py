"""Labels of pictures and tables, and the types of what they are drawn on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
    from matplotlib.image import AxesImage as AxesImage
else:  # an extra: at run time the names mean any object
    Axes = AxesImage = Figure = object


def shorten(name: str, most: int = 36) -> str:
    """Return a name cut to ``most`` characters; the end, which distinguishes models, stays.

    >>> shorten("runs/2026/blockwise/model", 12)
    '…kwise/model'
    """
    return name if len(name) <= most else "…" + name[1 - most :]


def ratio_label(ratio: float) -> str:
    """Return the label of a noise level: 1/16 and the like as fractions, others with two digits.

    >>> ratio_label(0.0625), ratio_label(0.5**0.5), ratio_label(1.0)
    ('1/16', '0.71', '1')
    """
    inverse = 1 / ratio
    return f"1/{inverse:.0f}" if ratio < 1 and abs(inverse - round(inverse)) < 1e-9 else f"{ratio:.2g}"


def brief(count: int) -> str:
    """Return a count in at most six characters or so.

    >>> brief(10800), brief(123456), brief(7654321)
    ('10,800', '123k', '7.7M')
    """
    if count < 100_000:
        return f"{count:,}"
    return f"{count / 1e3:.0f}k" if count < 1_000_000 else f"{count / 1e6:,.1f}M"
