"""The run in the model card: what was trained, on which data, by which method, and what was measured meanwhile."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import yaml
from huggingface_hub import EvalResult

from unmask.errors import UserError
from unmask.models.card import CARD, shown_source, with_name, with_results, with_training
from unmask.models.checkpoints import ADAPTER_CONFIG
from unmask.runtime.durable import write_whole
from unmask.runtime.foreign import foreign
from unmask.runtime.paths import is_hub_name
from unmask.train.metrics import MetricsFile
from unmask.train.run_folder import METRICS_FILE, MODEL, read_record

LOG = logging.getLogger(__name__)
_MEASURED = {
    "held_out_loss": "loss on held-out examples",
    "held_out_bound": "bound of the held-out text, nats a token",
    "accuracy": "accuracy",
}
"""Values of ``metrics.jsonl`` that describe the finished model, and what each is called on the card."""
_OBJECTIVE_ROW = ("name", "block_size")
_LONGEST = 12  # names of files that are shown


def write_run_card(folder: Path, out: Path, *, step: int | None = None) -> None:
    """Add to the card of a trained model how it was trained; nothing where there is no card that unmask wrote.

    Args:
        folder: of the model, with its ``README.md``.
        out: folder of its run, with ``run.json`` and ``metrics.jsonl``.
        step: whose weights the model has; None: the last one.
    """
    file = folder / CARD
    if not file.is_file():
        return
    try:  # a trained model is saved whatever stands in its card
        with foreign(
            f"{CARD} of the model in {out} does not say how it was trained", "the model is saved all the same"
        ):
            write_whole(file, _card(file.read_text(encoding="utf-8"), folder, out, step))
    except UserError as error:
        LOG.warning("%s", error)


def _card(card: str, folder: Path, out: Path, step: int | None) -> str:
    """Return the card with what the run's files tell."""
    record = read_record(out)
    settings, recipe = record["settings"], record.get("recipe") or {}
    names = list(_paths(recipe.get("data") or {}))
    step = settings["steps"] if step is None else step
    base = settings.get("model") or ""
    card = with_name(card, out.resolve().name, command=_command(out))
    card = with_training(
        card,
        rows=_rows(record, names, step),
        recipe=yaml.safe_dump(_told(recipe), sort_keys=False, allow_unicode=True) if recipe else "",
        base=base if is_hub_name(base) else None,
        base_model_relation=_relation(folder, base),
        datasets=[name for name in names if _is_on_hub(name)] or None,
    )
    if results := list(_results(out, settings, recipe, names, step)):
        card = with_results(card, results, name=out.resolve().name)
    return card


def _command(out: Path) -> str:
    """Return how commands name the model: the run's folder as the user wrote it, of an absolute path the name only."""
    return f"{out.name if out.is_absolute() else out.as_posix()}/{MODEL}"


def _relation(folder: Path, base: str) -> str | None:
    if not is_hub_name(base):
        return None
    return "adapter" if (folder / ADAPTER_CONFIG).is_file() else "finetune"


def _rows(record: Mapping[str, Any], names: list[str], step: int) -> dict[str, Any]:
    settings, recipe = record["settings"], record.get("recipe") or {}
    base = settings.get("model") or "not recorded"
    base = "none: trained from new weights" if base == "from_scratch" else f"`{shown_source(base)}`"
    method = settings["objective"] if isinstance(settings["objective"], Mapping) else {"name": settings["objective"]}
    chosen = recipe.get("objective")
    details = {key: value for key, value in chosen.items() if key not in _OBJECTIVE_ROW} if _is_map(chosen) else {}
    size, grid = settings.get("block_size"), settings.get("grid") or "answer"
    rows_a_step = settings["batch_size"] * settings["accumulate"] * settings.get("processes", 1)
    lora = settings.get("lora")
    held_out = settings.get("held_out")
    rows = {
        "base": f"{base}, hash of its weights `{settings.get('weights')}`",
        "method": f"`{method['name']}`" + (f" with {_as_text(details)}" if details else ""),
        "trained weights": f"adapters of rank {lora[0]['r']}" if lora else "all",
        "block size": f"{size}, counted from the {grid}" if size else "none",
        "data": f"{_as_list(names)}: {settings.get('examples', 0):,} examples, hash of their tokens "
        f"`{settings.get('data')}`",
        "held out": f"hash of the tokens `{held_out}`" if held_out else "nothing",
        "steps": f"{step:,} of {settings['steps']:,}, {rows_a_step:,} examples each",
        "learning rate": f"{settings['lr']:g}, {settings['schedule']}",
        "seed": settings["seed"],
        "made with": ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    }
    if settings.get("template"):
        rows["chat template"] = f"hash `{settings['template']}`"
    return rows


def _results(
    out: Path, settings: Mapping[str, Any], recipe: Mapping[str, Any], names: list[str], step: int
) -> Iterator[EvalResult]:
    """Yield the last values that were measured of the model while it was trained."""
    lines = [line for line in MetricsFile.read(out / METRICS_FILE) if line["step"] == step]
    task = (recipe.get("evaluate") or {}).get("task")
    judged = task.get("name") if _is_map(task) else task
    for key, what in _MEASURED.items():
        found = next((line[key] for line in reversed(lines) if isinstance(line.get(key), float)), None)
        if found is None or (key == "accuracy" and not judged):
            continue
        data = str(judged) if key == "accuracy" else f"held-out examples of {_as_list(names)}"
        yield EvalResult(
            task_type="text-generation", dataset_type=data, dataset_name=data, metric_type=key, metric_name=what,
            metric_value=found, metric_args={"step": step, "seed": settings["seed"]},
        )  # fmt: skip


def _paths(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the files, hub data sets and tasks in a recipe's section ``data``."""
    for value in (data.get("path"), data.get("sources")):
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if _is_map(each):
                yield from _paths(each)
            elif isinstance(each, str):
                yield each if _is_on_hub(each) else Path(each).name
    if (task := data.get("task")) is not None:
        yield f"task {task.get('name') if _is_map(task) else task}"


def _is_on_hub(data: str) -> bool:
    return is_hub_name(data) and not Path(data).suffix


def _told(value: Any) -> Any:
    """Return a recipe's value with absolute paths shortened to their names: they tell others nothing."""
    if _is_map(value):
        return {key: _told(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_told(entry) for entry in value]
    is_path = isinstance(value, str) and "\n" not in value and (Path(value).is_absolute() or value.startswith("~"))
    if is_path:
        return shown_source(str(Path(value).expanduser()))
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _is_map(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _as_list(names: list[str]) -> str:
    shown = ", ".join(names[:_LONGEST]) or "examples that were handed over in Python"
    return shown + (f" and {len(names) - _LONGEST} more" if len(names) > _LONGEST else "")


def _as_text(details: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value['name'] if _is_map(value) and 'name' in value else value}"
                     for key, value in details.items())  # fmt: skip
