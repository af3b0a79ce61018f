"""Running totals of a run: what equal-budget comparisons are made by. They survive a resume."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

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
