"""The raw results in a study's folder, from which everything in the report can be computed again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.study.curves import Curve, curves_of
from unmask.study.spec import BUDGETS
from unmask.study.verify import RESULT, check_answers, read_result

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Results:
    """All results that exist.

    Args:
        bases: cell -> its base's result.
        trials: results of the trials of learning rates.
        runs: results of the runs that are compared.
        curves: of these runs, one for each decoder.
        missing: how many runs have no result yet.
    """

    bases: Mapping[str, Result]
    trials: Sequence[Result]
    runs: Sequence[Result]
    curves: Sequence[Curve]
    missing: int

    @classmethod
    def read(cls, out: Path, *, bases: Sequence[str], trials: Sequence[str], runs: Sequence[str]) -> "Results":
        """Read the results at these paths below ``out/runs``; those that do not exist are counted.

        Args:
            out: folder of the study.
            bases: paths of the judged bases.
            trials: paths of the trials.
            runs: paths of the runs that are compared.

        Returns:
            The results.

        Raises:
            UserError: no run has a result.
        """
        judged = {result["cell"]: result for result in read_results(out, bases)}
        done = read_results(out, runs)
        if not done:
            raise UserError(f"{out}: expected runs to report on, found none; leave out --report-only to run them")
        return cls(
            bases=judged,
            trials=read_results(out, trials),
            runs=done,
            curves=[curve for result in done for curve in curves_of(result, judged[result["cell"]], BUDGETS)],
            missing=len(runs) - len(done),
        )


def read_results(out: Path, paths: Sequence[str]) -> list[Result]:
    """Read and verify results.

    Args:
        out: folder of the study.
        paths: folders of runs below ``out/runs``.

    Returns:
        The results that exist, in the order given.
    """
    found = []
    for file in (out / "runs" / path / RESULT for path in paths):
        if file.exists():
            found.append(read_result(file))
            check_answers(file, found[-1])
    return found
