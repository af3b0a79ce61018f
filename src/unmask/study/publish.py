"""Copies what a reader of a study needs, and nothing that is large: report, figures, and every run's result."""

import shutil
from pathlib import Path

from unmask.errors import UserError
from unmask.study.folder import STUDY
from unmask.study.worker import RESULT

REPORT = ("report.md", "report.html", "summary.json", STUDY)


def publish(out: Path, to: Path) -> int:
    """Copy a study's report with all that it links to; models, texts, logs and metrics stay behind.

    Args:
        out: folder of the study.
        to: a new folder, or one that a study was published to: it is replaced.

    Returns:
        How many results were copied.

    Raises:
        UserError: ``to`` holds something else.
    """
    if to.exists() and any(to.iterdir()) and not (to / STUDY).exists():
        raise UserError(f"{to}: holds something else than a published study; write another folder")
    if out.resolve() == to.resolve():
        raise UserError(f"{to}: is the study's own folder; write another one")
    for name in ("runs", "figures"):
        shutil.rmtree(to / name, ignore_errors=True)
    results = sorted((out / "runs").rglob(RESULT))
    for source in [*(out / name for name in REPORT), *sorted((out / "figures").glob("*.png")), *results]:
        target = to / source.relative_to(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return len(results)
