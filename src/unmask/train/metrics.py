"""``metrics.jsonl``: one JSON object a line, with a fixed set of keys and the units in their names."""

import json
from pathlib import Path
from typing import Any

from unmask.durable import write_whole


class MetricsFile:
    """Appends lines; a resumed run drops the lines that its checkpoint does not know of.

    Args:
        path: the file.
        from_step: lines of later steps are removed; 0 starts afresh.
    """

    def __init__(self, path: Path, from_step: int = 0) -> None:
        self.path = path
        kept = [line for line in self.read(path) if line["step"] <= from_step] if from_step else []
        write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, values: dict[str, Any]) -> None:
        """Append a line."""
        with self.path.open("a") as stream:
            stream.write(json.dumps(values) + "\n")

    @staticmethod
    def read(path: Path) -> list[dict[str, Any]]:
        """Read a file back, leaving out what is no line of metrics, such as one that a kill cut short."""
        lines = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(values, dict) and isinstance(values.get("step"), int):
                lines.append(values)
        return lines
