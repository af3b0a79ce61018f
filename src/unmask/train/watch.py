"""Notices a run that diverges: its loss stays far above what it was."""

from collections import deque
from statistics import median

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
