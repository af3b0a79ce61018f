"""The tour names files that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_file_of_the_tour_exists():
    source = ROOT / "src/unmask"
    names = re.findall(r"`([\w/]+\.py|[\w/]+/)`", (ROOT / "docs/tour.md").read_text())
    assert len(names) > 40
    for name in names:
        assert (source / name).exists() or ("/" not in name and list(source.rglob(name))), name
