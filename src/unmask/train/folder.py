"""The folder of a run: claimed once, and resumed only by the run that it holds."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch

from unmask.data import Curriculum
from unmask.errors import UserError
from unmask.models import LoadedModel
from unmask.provenance import versions
from unmask.train import checkpoints
from unmask.train.layout import Layout
from unmask.train.run import TrainRun

RUN_FILE = "run.json"
T = TypeVar("T")


def on_rank_zero(work: Callable[[], T]) -> T:
    """Do something on one rank only and give its result, or its user error, to all."""
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


def settings_of(
    run: TrainRun, lm: LoadedModel, examples: int, layout: Layout, curriculum: Curriculum | None = None
) -> dict[str, Any]:
    """Describe a run so that a resume can tell whether it is the same one."""
    values = {f.name: getattr(run, f.name) for f in fields(run)}
    values["objective"] = _described(run.objective)
    values["curriculum"] = None if curriculum is None else _described(curriculum)
    values |= {"model": lm.source, "examples": examples}
    values |= {f.name: getattr(layout, f.name) for f in fields(layout)}
    return json.loads(json.dumps(values, default=str))


def _described(part: Any) -> dict[str, Any]:
    return {"name": part.name, **{f.name: getattr(part, f.name) for f in fields(part)}}


def check_folder(out: Path, *, resume: bool) -> None:
    """Refuse a folder that a run cannot start or go on in; cheap, so that it can be asked before anything is loaded."""
    holds_run = (out / RUN_FILE).exists()
    if resume and not holds_run:
        raise UserError(f"{out}: no run to resume here; leave out --resume to start one")
    if resume:
        return
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: expected a folder, found a file; choose another --out")
    if holds_run:
        raise UserError(f"{out}: holds another run; write --resume to go on with it, or choose another --out")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty and holds no run; choose another --out")


def open_folder(out: Path, settings: dict[str, Any], recipe: Mapping[str, Any] | None, *, resume: bool) -> Path | None:
    """Claim the folder of a run, or find the checkpoint to go on from."""
    check_folder(out, resume=resume)
    written = out / RUN_FILE
    if not resume:
        try:
            (out / "checkpoints").mkdir(parents=True)
        except OSError as error:
            raise UserError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error
        kept = {"settings": settings, "recipe": recipe, "versions": versions(), "command": sys.argv}
        written.write_text(json.dumps(kept, indent=1, default=str))
        return None
    before = json.loads(written.read_text())["settings"]
    changed = sorted(k for k in settings.keys() | before.keys() if settings.get(k) != before.get(k))
    if changed:
        was = ", ".join(f"{k} was {before.get(k)!r} and is {settings.get(k)!r}" for k in changed)
        raise UserError(f"{out}: not the run that it holds: {was}; resume with the recipe that it was started with")
    return checkpoints.newest(out / "checkpoints")
