"""What a run measures: a line of metrics for each logged step, running totals, and whether the loss diverges."""

import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from unmask.runtime.durable import write_whole


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


FILE = "totals.json"


@dataclass(kw_only=True)
class Totals:
    """Summed over all ranks since the first step.

    Args:
        examples: rows of text seen.
        supervised_tokens: positions that were asked.
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
        """Add the time since the last tick."""
        now = time.perf_counter()
        if self._since is not None:
            self.seconds += now - self._since
        self._since = now

    def values(self) -> dict[str, float]:
        """Return the totals by name."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}

    def save(self, folder: Path) -> None:
        """Write them into a checkpoint."""
        (folder / FILE).write_text(json.dumps(self.values()))

    def restore(self, folder: Path) -> None:
        """Take them over from a checkpoint."""
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
        """Return a warning if the loss has been far above the median for long, once a run; else None.

        Args:
            step: of the loss.
            loss: of one optimiser step; negative ones are never far.
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
