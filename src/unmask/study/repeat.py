"""A published study made again: its recipe, the rates that it chose, and whether the outcomes are the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.markup import assign
from unmask.study.folder import STUDY
from unmask.study.results import Result
from unmask.study.worker import RESULT

Rates = Mapping[tuple[str, str], float]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A study that was published, or ran here.

    Args:
        folder: where it is.
        values: its recipe.
        runs: path -> result of the runs that were compared.
    """

    folder: Path
    values: Mapping[str, Any]
    runs: Mapping[str, Result]

    @property
    def rates(self) -> Rates:
        """The learning rate of each cell and arm."""
        return {(run["cell"], run["arm"]): run["rate"] for run in self.runs.values()}


def read_published(folder: Path, assignments: tuple[str, ...] = ()) -> Published:
    """Read a study from the folder that it ran in or was published to.

    Args:
        folder: with ``study.json`` and ``runs``.
        assignments: ``path=value``, laid over its recipe; fewer seeds, for example.

    Raises:
        UserError: there is no study, or none of its runs.
    """
    try:
        values = json.loads((folder / STUDY).read_text())["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder}: expected a study's folder with {STUDY}, found none; write one that ran") from None
    results = [json.loads(file.read_text()) for file in sorted((folder / "runs").rglob(f"seed-*/{RESULT}"))]
    if not results:
        raise UserError(f"{folder}: expected a study with finished runs, found none; there is nothing to repeat")
    for assignment in assignments:
        assign(values, assignment)
    return Published(folder=folder, values=values, runs={result["path"]: result for result in results})


def compare_outcomes(published: Published, now: list[Result]) -> list[dict[str, Any]]:
    """Compare runs with the published ones of the same cell, arm and seed, after the whole run.

    Returns:
        For each run and decoder both accuracies, and how many problems came out otherwise.

    Raises:
        UserError: a run was judged on other problems.
    """
    rows = []
    for result in now:
        before = published.runs.get(result["path"])
        if before is None:
            continue
        if before["problem_keys"] != result["problem_keys"]:
            raise UserError(
                f"{result['path']}: judged on other problems than in {published.folder}; leave evaluate alone"
            )
        for decoder, was in before["points"][-1]["decoders"].items():
            found = result["points"][-1]["decoders"].get(decoder)
            if found is not None:
                rows.append(
                    {
                        **{name: result[name] for name in ("cell", "arm", "seed")}, "decoder": decoder,
                        "published": was["accuracy"], "now": found["accuracy"],
                        "changed": sum(a != b for a, b in zip(was["right"], found["right"], strict=True)),
                    }
                )  # fmt: skip
    return rows
