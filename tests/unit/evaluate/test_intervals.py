import pytest

from unmask.evaluate import wilson

# Newcombe (1998), Statistics in Medicine 17, table I, method 3, rounded as printed there.
KNOWN = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}


@pytest.mark.parametrize(("counts", "interval"), KNOWN.items())
def test_known_values(counts, interval):
    assert wilson(*counts) == pytest.approx(interval, abs=5e-5)


def test_edges():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(29, 29)[1] == pytest.approx(1.0)
    assert wilson(0, 5)[0] == pytest.approx(0.0, abs=1e-12)
    low, high = wilson(7, 20)
    assert wilson(13, 20) == pytest.approx((1 - high, 1 - low))
