"""Losses of several objectives are not shown as if they could be compared."""

import pytest

from unmask.plots.figures import beside_losses, plot_losses

LOG = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "held_out_loss": 1.5}]


@pytest.mark.parametrize(
    ("runs", "bounds", "words"),
    [
        (["cart", "lift"], {"cart": 1.25, "lift": 0.5}, ["do not compare", "cart 1.250, lift 0.500"]),
        (["cart", "lift"], None, ["do not compare", "not measured here"]),
        (["vanilla"], None, []),
    ],
)  # fmt: skip
def test_the_picture_says_so(tmp_path, runs, bounds, words):
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        shown = plot_losses(dict.fromkeys(runs, LOG), tmp_path / "loss.svg", bounds=bounds).read_text()
    for word in words:
        assert word in shown
    assert ("do not compare" in shown) == bool(words)
    assert "\n" not in beside_losses(None)
