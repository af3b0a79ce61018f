"""The results of evaluations in the model card of the model that gave the answers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from unmask.errors import UserError, shorten
from unmask.evaluate.journal import read_run
from unmask.evaluate.verify import check_record
from unmask.models.card import CARD, with_results
from unmask.models.checkpoints import locate
from unmask.models.fingerprint import fingerprint, hash_of_model
from unmask.models.load import load
from unmask.runtime.durable import write_whole
from unmask.runtime.foreign import read_text
from unmask.runtime.sealed import reseal

_DECODER = ("block_size", "steps", "threshold", "temperature")


def add_results(model: str | Path, runs: Sequence[str | Path]) -> str:
    """Write the results of evaluations into the card of a model, after checks that they are its own and unchanged.

    Args:
        model: folder of a model, or of the run that trained it.
        runs: folders of evaluations, as ``unmask eval --out`` writes them.

    Returns:
        The text of the card.

    Raises:
        UserError: there is no card, or an evaluation is unfinished, was changed, or is of other weights.
    """  # noqa: DOC503
    file = card_of(model)
    card, hashes = read_text(file), dict[str | None, tuple[str, str]]()
    for run in runs:
        kept = read_run(Path(run))
        check_record(Path(run), kept)
        settings = kept["settings"]
        dtype = settings.get("dtype")
        if dtype not in hashes:
            lm = load(file.parent, device="cpu", dtype=dtype)
            hashes[dtype] = (hash_of_model(lm), fingerprint(lm))
        whole, sample = hashes[dtype]
        wanted, found = (settings["model_hash"], whole) if settings.get("model_hash") else (settings["weights"], sample)
        if wanted != found:
            raise UserError(
                f"{run}: expected answers of {file.parent}, whose weights have the hash {found[:16]}, found those of "
                f"{shorten(settings.get('model'), 80)} with {str(wanted)[:16]}; run unmask eval --out on this model"
            )
        card = with_results(card, list(_results(kept)), name=file.parent.resolve().name)
    write_whole(file, card)
    reseal(file.parent, CARD)
    return card


def card_of(model: str | Path) -> Path:
    """Return the path of a model's card.

    Args:
        model: folder of a model, or of the run that trained it.

    Returns:
        The path of its ``README.md``.

    Raises:
        UserError: there is none, or the model is no folder on this machine.
    """
    where = locate(model) if Path(model).expanduser().is_dir() else None
    if where is None:
        raise UserError(f"expected the folder of a model or of its run, found '{shorten(model, 120)}'; write a folder")
    file = where.folder / CARD
    if not file.is_file():
        raise UserError(f"{where.folder}: expected {CARD}, found none; unmask sft, convert and export write one")
    return file


def _results(kept: Mapping[str, Any]) -> Iterator[EvalResult]:
    """Yield the accuracy of an evaluation, and the chance of a right answer among k where there were several."""
    settings, results = kept["settings"], kept["results"]
    task = settings["task"]
    name = str(task.get("name") if isinstance(task, Mapping) else task)
    decoder = settings.get("decoder") or {}
    chosen = {key: decoder[key] for key in _DECODER if decoder.get(key) is not None}
    told = {
        "problems": results["problems"],
        "samples": results["samples"],
        **chosen,
        "canvas": settings.get("max_new_tokens"),
        "seed": settings.get("seed"),
    }
    told = {key: value for key, value in told.items() if value is not None}
    values = {"accuracy": ("accuracy", results["accuracy"], results.get("interval"))}
    for k, row in (results.get("pass") or {}).items():
        if int(k) > 1:
            values[f"pass@{k}"] = (f"pass@{k}", row["rate"], row["interval"])
    for key, (title, value, interval) in values.items():
        limits = {} if interval is None else {"interval": [float(limit) for limit in interval]}
        yield EvalResult(
            task_type="text-generation", dataset_type=name, dataset_name=name, dataset_split=settings.get("split"),
            metric_type=key, metric_name=title, metric_value=float(value), metric_args={**told, **limits},
        )  # fmt: skip
