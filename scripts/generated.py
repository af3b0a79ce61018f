"""Writes generated files, or tells which are not up to date."""

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def write(texts: Mapping[Path, str]) -> None:
    """Write each text into its file; with ``--check`` write nothing, name the old files, and exit with 1 if any is old.

    Args:
        texts: by file.
    """
    old = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv:
        sys.exit("\n".join(f"{path.relative_to(ROOT)}: not up to date; run make index" for path in old) or 0)
    for path, text in texts.items():
        path.write_text(text, "utf-8")
