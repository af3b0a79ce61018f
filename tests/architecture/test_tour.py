"""The tour names files that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_file_of_the_tour_exists():
    folder = ""
    for name in re.findall(r"`([\w/]+\.py|[\w/]+/)`", (ROOT / "docs/tour.md").read_text()):
        known = [ROOT / "src/unmask" / name, ROOT / "src/unmask" / folder / name]
        assert any(path.exists() for path in known), name
        if "/" in name:
            folder = name.rpartition("/")[0]
