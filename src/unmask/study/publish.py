"""Copies what a reader of a study needs, and nothing that is large: report, figures, and every run's result."""

import shutil
from pathlib import Path

from unmask.errors import UserError
from unmask.study.files import read_json
from unmask.study.folder import STUDY
from unmask.study.verify import RESULT, SUMMARY, check_answers, check_hashes, read_result

REPORT = ("report.md", "report.html", SUMMARY, STUDY)


def publish(out: Path, to: Path) -> int:
    """Copy a study's report with all that it links to; models, texts, logs and metrics stay behind.

    Args:
        out: folder of the study.
        to: a new folder, or one that a study was published to: it is replaced.

    Returns:
        How many results were copied.

    Raises:
        UserError: ``to`` holds something else, or a result is damaged or not the one that was reported on.
    """
    if to.exists() and any(to.iterdir()) and not (to / STUDY).exists():
        raise UserError(f"{to}: holds something else than a published study; write another folder")
    if out.resolve() == to.resolve():
        raise UserError(f"{to}: is the study's own folder; write another one")
    results = sorted((out / "runs").rglob(RESULT))
    for file in results:
        check_answers(file, read_result(file))
    check_hashes(out, read_json(out / SUMMARY, "write the report anew by --report-only"))
    for name in ("runs", "figures"):
        shutil.rmtree(to / name, ignore_errors=True)
    for source in [*(out / name for name in REPORT), *sorted((out / "figures").glob("*.png")), *results]:
        target = to / source.relative_to(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return len(results)
