"""Checks that a study's files are what its runs wrote: what follows from the raw outcomes is computed and compared."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, TypeGuard

from unmask.errors import UserError
from unmask.evaluate.verify import hash_of
from unmask.study.files import read_json

Row = Mapping[str, Any]
RESULT, SUMMARY = "result.json", "summary.json"
AMOUNTS = ("steps", "examples", "supervised_tokens", "forward_tokens", "flops", "seconds")
THEN = "put the file back, or delete its folder and start the study again"
EXPECTED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


def read_result(file: Path) -> dict[str, Any]:
    """Read the result of a run, a trial or a base, and check it against itself.

    Args:
        file: ``result.json``.

    Returns:
        The result.

    Raises:
        UserError: it is none, or its accuracies, counts or folder are not those of its outcomes.
    """
    result = read_json(file, THEN)
    try:
        fault = next(_faults(result, file), None)
    except EXPECTED as error:
        fault = f"expected the result of a run, found something else ({type(error).__name__}: {str(error)[:80]})"
    if fault:
        raise UserError(f"{file}: {fault}; {THEN}")
    return result


def _faults(result: dict[str, Any], file: Path) -> Iterator[str]:
    if result["path"] not in {"/".join(file.parent.parts[-depth:]) for depth in (3, 4, 5)}:
        yield f"expected the result of this folder, found that of {str(result['path'])[:80]}"
    for name in ("cell", "problem_keys"):
        if not isinstance(result[name], str):
            yield f"expected a text as {name}, found {result[name]!r:.80}"
    for name in ("versions", "machine"):
        if not isinstance(result[name], dict):
            yield f"expected {name} by name, found {result[name]!r:.80}"
    if result.get("arm") is None:
        yield from _judged(result, result["problems"], "the base")
    else:
        yield from _trained(result)


def _trained(result: dict[str, Any]) -> Iterator[str]:
    """Yield a phrase for each fault in the points of a run."""
    if not (isinstance(result["arm"], str) and isinstance(result["recipe"], dict) and type(result["seed"]) is int):
        yield "expected an arm, a recipe and a seed, found others"
    if not result["points"] or not _is_number(result["rate"]):
        yield "expected a rate and judged points, found none"
    before = dict.fromkeys(AMOUNTS, 0.0)
    for point in result["points"]:
        yield from _judged(point, result["problems"], f"step {point['steps']}")
        for name in AMOUNTS:
            if not (_is_number(point[name]) and point[name] >= before[name]):
                yield f"step {point['steps']}: expected {name} of at least {before[name]:g}, found {point[name]!r:.80}"
            before[name] = point[name] if name != "seconds" else 0.0


def _judged(point: Row, problems: Any, where: str) -> Iterator[str]:
    """Yield a phrase for each fault in the outcomes and bounds of one judged model."""
    for decoder, row in point["decoders"].items():
        right = row["right"]
        if len(right) != problems:
            yield f"{where}, {decoder}: expected outcomes of {problems!r:.80} problems, found {len(right)}"
        if any(type(value) is not int or value not in (0, 1) for value in right):
            yield f"{where}, {decoder}: expected outcomes of 1 or 0, found others"
        if not is_close(row["accuracy"], fmean(right)):
            yield f"{where}, {decoder}: its accuracy is {row['accuracy']!r:.80}, its outcomes' is {fmean(right):.6g}"
        for name in ("forwards", "tokens_per_forward", "seconds"):
            if not _is_number(row[name]) or row[name] < 0:
                yield f"{where}, {decoder}: expected a number as {name}, found {row[name]!r:.80}"
    general = point.get("general")
    if general and not is_close(general["accuracy"], fmean(general["right"])):
        yield f"{where}, general: its accuracy is {general['accuracy']!r:.80}, its outcomes' is another"
    bounds = point.get("bounds") or {"nats": {}}
    for order, nats in bounds["nats"].items():
        total = math.fsum(nats) / math.fsum(bounds["tokens_each"])
        found = bounds[order]["nats_per_token"]
        if not is_close(found, total, 1e-5):
            yield f"{where}: its bound {order} is {found!r:.80}, its answers' is {total:.6g}"


def check_answers(file: Path, result: Row) -> None:
    """Compare the outcomes after the whole run with the judged texts, where these are beside the result.

    Args:
        file: ``result.json``.
        result: what it holds.

    Raises:
        UserError: they differ, or a file of texts cannot be read.
    """
    last = result if result.get("arm") is None else result["points"][-1]
    for number, (decoder, row) in enumerate(last["decoders"].items()):
        texts = file.parent / "points" / "answers" / f"{number}.jsonl"
        if not texts.is_file():
            continue
        try:
            right = [int(json.loads(line)["is_right"]) for line in texts.read_bytes().splitlines()]
        except (*EXPECTED, RecursionError):
            raise UserError(f"{texts}: expected judged answers, found something else; {THEN}") from None
        if right != row["right"]:
            raise UserError(f"{texts}: expected the verdicts of {file} under {decoder}, found others; {THEN}")


def check_hashes(out: Path, summary: Row) -> list[str]:
    """Compare the results with the hashes that the report took of them.

    Args:
        out: folder of the study.
        summary: what its ``summary.json`` holds.

    Returns:
        What could not be compared, as the report is of an older version; mostly empty.

    Raises:
        UserError: a result is not the one that was reported on.
    """
    hashes = summary.get("results")
    if not isinstance(hashes, Mapping):
        return ["hashes of the results"]
    for path, expected in hashes.items():
        file = out / str(path) / RESULT
        if not file.is_file():
            raise UserError(f"{file}: expected the result that was reported on, found no file; {THEN}")
        if hash_of(file) != expected:
            raise UserError(f"{file}: was changed after the report: its SHA-256 is not that in {SUMMARY}; {THEN}")
    return []


def check_figures(file: Path, summary: Row, figures: Row) -> list[str]:
    """Compare the figures of a report with those of its results.

    Args:
        file: ``summary.json``.
        summary: what it holds.
        figures: name -> the same, made anew.

    Returns:
        What could not be compared, as the report is of an older version; mostly empty.

    Raises:
        UserError: a figure differs.
    """
    skipped = set() if "interval_method" in summary else {"interval", "difference_interval", "interval_method"}
    for name, now in figures.items():
        if name not in skipped and (fault := _difference(summary.get(name), now, name, skipped)):
            raise UserError(f"{file}: {fault}; write the report anew by --report-only")
    return ["intervals by the method of this version"] if skipped else []


def _difference(was: object, now: object, where: str, skipped: set[str]) -> str | None:
    """Return a phrase for the first entry in which two figures, or mappings or lists of them, differ; else None."""
    if isinstance(now, Mapping) and isinstance(was, Mapping):
        names = {str(name): value for name, value in now.items() if name not in skipped}  # JSON's names are texts
        pairs = [(f"{where}.{name}", was.get(name), value) for name, value in names.items()]
    elif isinstance(now, (list, tuple)) and isinstance(was, list) and len(was) == len(now):
        pairs = [(f"{where}.{number}", *both) for number, both in enumerate(zip(was, now, strict=True))]
    else:
        is_same = is_close(was, now) if isinstance(now, float) else was == now
        return None if is_same else f"{where}: expected {_short(now)}, as of its results, found {_short(was)}"
    return next((fault for name, a, b in pairs if (fault := _difference(a, b, name, skipped))), None)


def is_close(was: object, now: float, tolerance: float = 1e-9) -> bool:
    """Compare a value that was read with a number.

    Args:
        was: the value, of any type.
        now: the number.
        tolerance: relative and absolute.

    Returns:
        Whether the value is a number equal to ``now`` within the tolerance.
    """
    return _is_number(was) and math.isclose(was, now, rel_tol=tolerance, abs_tol=tolerance)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else f"{value!r:.80}"
