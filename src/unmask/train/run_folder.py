"""The folder of a run: claimed for one run, emptied if the run never began, and resumed only by that run."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from unmask.config.plugins import named_plugins
from unmask.errors import UserError
from unmask.runtime.durable import write_whole
from unmask.runtime.environment import versions
from unmask.runtime.runlock import is_empty
from unmask.runtime.sealed import FORMAT, check_format
from unmask.train import checkpoints
from unmask.train.record import settings_today

RUN_FILE, METRICS_FILE, CHECKPOINTS, MODEL = "run.json", "metrics.jsonl", "checkpoints", "model"
SAMPLES_FILE = "samples.jsonl"
T = TypeVar("T")


def on_rank_zero(work: Callable[[], T]) -> T:
    """Return the result of ``work``, called on rank 0 only; its ``UserError`` too is raised on all ranks."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return work()
    shared: list[Any] = [None, None]
    if distributed.get_rank() == 0:
        try:
            shared[0] = work()
        except UserError as error:
            shared[1] = str(error)
    distributed.broadcast_object_list(shared)
    if shared[1] is not None:
        raise UserError(shared[1])
    return shared[0]  # type: ignore[no-any-return]


def check_folder(out: Path, *, resume: bool, restart: bool = False) -> dict[str, Any] | None:
    """Check that a run can start or continue in a folder; cheap, so that it can be called before anything is loaded.

    Args:
        out: the folder.
        resume: whether to continue the run in it.
        restart: whether to begin that run again.

    Returns:
        The record of the run that is there; None for a new one.

    Raises:
        UserError: it cannot; names what the folder holds and what to write instead.
    """
    holds_run = (out / RUN_FILE).exists()
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: expected a folder, found a file; choose another --out")
    if resume and restart:
        raise UserError("--resume and --restart: expected one of them; --resume goes on, --restart begins again")
    if resume or restart:
        option = "--resume" if resume else "--restart"
        if not holds_run:
            raise UserError(f"{out}: no run to {option[2:]} here; leave out {option} to start one")
        record = read_record(out)
        if restart and (last := checkpoints.newest(out / CHECKPOINTS)):
            raise UserError(
                f"{out}: holds {last.name}, which --restart would lose; write --resume to go on with it, or choose "
                "another --out"
            )
        if restart and (out / MODEL).exists():
            raise UserError(
                f"{out}: holds a trained model, which --restart would lose; choose another --out, or begin from it "
                f"with model.path={out / MODEL}"
            )
        return record
    if holds_run:
        raise UserError(f"{out}: holds another run; write --resume to go on with it, or choose another --out")
    if not is_empty(out):
        raise UserError(f"{out}: is not empty and holds no run; choose another --out")
    return None


def read_record(out: Path) -> dict[str, Any]:
    """Return the record of a run.

    Args:
        out: folder of the run.

    Returns:
        The content of its ``run.json``.

    Raises:
        UserError: it is damaged, or of a newer unmask.
    """
    path = out / RUN_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        version = check_format(record.get("format", 1), path)
        numbers = (record["settings"]["steps"], record.get("first_steps", 1))
        is_typed = all(type(number) is int for number in numbers) and isinstance(record["versions"], dict)
        if is_typed and record["fingerprint"] == fingerprint_of(record["settings"]):
            return {**record, "settings": settings_today(str(out), record) if version == 1 else record["settings"]}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); mend that, or choose another --out") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise UserError(
        f"{path}: expected the record of a training run, found something else; restore it, or start the run anew in "
        "another --out (model.path: the newest folder under checkpoints/)"
    )


def claim(out: Path, settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Make the folder of a run and write its record; files of an earlier start without a checkpoint are removed.

    Args:
        out: the folder.
        settings: that the run's result depends on.
        about: what the record holds besides: the recipe that the run was read from, or None, and facts of the data.

    Raises:
        UserError: it cannot be made.
    """
    try:
        give_back(out)
        (out / CHECKPOINTS).mkdir(parents=True)
        made_with = {"plugins": named_plugins(), "versions": versions(), "command": sys.argv}
        write_record(out, {"settings": settings, **about, **made_with})
    except OSError as error:
        give_back(out)
        raise UserError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error


def write_record(out: Path, record: Mapping[str, Any]) -> None:
    """Write ``run.json`` with the format and a fingerprint of the settings; whole or not at all."""
    sealed = {**record, "format": FORMAT, "fingerprint": fingerprint_of(record["settings"])}
    write_whole(out / RUN_FILE, json.dumps(sealed, indent=1, default=str) + "\n")


def fingerprint_of(settings: Mapping[str, Any]) -> str:
    """Return a hash, 16 hex digits, of the settings of a run, by which a changed record is recognised."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def give_back(out: Path) -> None:
    """Remove the files that a run without a checkpoint has written."""
    for name in (RUN_FILE, METRICS_FILE, SAMPLES_FILE):
        (out / name).unlink(missing_ok=True)
    for name in (CHECKPOINTS, "tensorboard"):
        shutil.rmtree(out / name, ignore_errors=True)


def other_versions(record: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each package whose version is not that of the run's start."""
    before, now = record.get("versions") or {}, versions()
    return [f"{name} was {before[name]} and is {now.get(name)}" for name in before if before[name] != now.get(name)]
