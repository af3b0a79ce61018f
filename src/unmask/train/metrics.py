"""Measurements of a run: lines of metrics, running totals, and a warning if the loss diverges."""

import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from unmask.runtime.durable import write_whole


class MetricsFile:
    """``metrics.jsonl``: a JSON object per line; a resumed run removes the lines after its checkpoint.

    Args:
        path: of the file.
        from_step: lines of later steps are removed; 0 removes all.
    """

    def __init__(self, path: Path, from_step: int = 0) -> None:
        self.path = path
        kept = [line for line in self.read(path) if line["step"] <= from_step] if from_step else []
        write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, values: dict[str, Any]) -> None:
        """Append the values as a line of JSON."""
        with self.path.open("a") as stream:
            stream.write(json.dumps(values) + "\n")

    @staticmethod
    def read(path: Path) -> list[dict[str, Any]]:
        """Return the lines of a file, without those that are no metrics, such as one that a kill cut short."""
        lines = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(values, dict) and isinstance(values.get("step"), int):
                lines.append(values)
        return lines


FILE = "totals.json"


@dataclass(kw_only=True)
class Totals:
    """Totals over all ranks since the first step.

    Args:
        examples: examples seen.
        supervised_tokens: positions whose token was predicted.
        forward_tokens: tokens that the model read, scoring passes included.
        flops: floating-point operations of forwards and backwards, estimated.
        seconds: wall time spent in training steps and evaluations.
    """

    examples: int = 0
    supervised_tokens: int = 0
    forward_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    _since: float | None = field(default=None, repr=False)

    def tick(self) -> None:
        """Add the time since the last call to ``seconds``."""
        now = time.perf_counter()
        if self._since is not None:
            self.seconds += now - self._since
        self._since = now

    def values(self) -> dict[str, float]:
        """Return the totals by name."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}

    def save(self, folder: Path) -> None:
        """Write the totals into a checkpoint's folder."""
        (folder / FILE).write_text(json.dumps(self.values()))

    def restore(self, folder: Path) -> None:
        """Set the totals to those of a checkpoint's folder."""
        for name, value in json.loads((folder / FILE).read_text()).items():
            setattr(self, name, value)


FAR, LONG, BEFORE, MEMORY = 3.0, 20, 20, 200


class Watch:
    """Compares each loss with the running median of those before it.

    >>> watch = Watch()
    >>> said = [watch.see(step, 1.0 if step < 100 else 9.0) for step in range(200)]
    >>> [step for step, line in enumerate(said) if line]
    [119]
    """

    def __init__(self) -> None:
        self._normal: deque[float] = deque(maxlen=MEMORY)
        self._far = 0
        self._has_warned = False

    def see(self, step: int, loss: float) -> str | None:
        """Return a warning, once a run, if the loss has been above 3 times the median for 20 steps; else None.

        Args:
            step: of the loss.
            loss: of one optimiser step; if the median is negative, there is no warning.

        Returns:
            One line, or None.
        """
        usual = median(self._normal) if len(self._normal) >= BEFORE else None
        if usual is None or not loss > FAR * usual > 0:
            self._normal.append(loss)
            self._far = 0
            return None
        self._far += 1
        if self._far < LONG or self._has_warned:
            return None
        self._has_warned = True
        return (
            f"warning: the loss has been above {FAR:g} times its running median of {usual:.4g} for {LONG} steps, now "
            f"{loss:.4g} at step {step}; the run may be diverging: lower run.lr, or go back to an earlier checkpoint"
        )
