"""Drafts a recipe for a model and a data file: sizes that fit both, and a reason for each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from unmask.config.components import choose
from unmask.config.defaults import BLOCK_SIZE
from unmask.errors import UserError
from unmask.models.checkpoints import pick_device
from unmask.objectives import OBJECTIVES
from unmask.recipes.look import SeenData, SeenModel, amount, look_at_data, look_at_model
from unmask.train.memory import check_training_memory

WINDOW = 32  # rows of an optimiser step, as in LLaDA's and Blockwise SFT's published fine-tuning runs
BATCHES = (32, 16, 8, 4, 2, 1)  # rows of a forward
MOST = 8  # rows of a forward of models that are not small
LONGEST = 4096  # columns: what the published fine-tuning runs of 8B models train at most
TIMES = 3  # epochs
FEWEST = 50  # optimiser steps: fewer change little, however small the file is
LARGE = 1e9  # weights from which adapters are written, whatever memory is free
SMALL = 50e6  # weights up to which a forward of all rows costs less than several
RATES = ((LARGE, 1e-5), (SMALL, 1e-4), (0, 1e-3))  # weights from which a learning rate is written


@dataclass(kw_only=True)
class Draft:
    """A recipe that was drafted.

    Args:
        values: its sections.
        why: path of a key -> why it has this value.
        about: lines on the model and the data.
        remarks: lines on what was not looked at, and on rows that are left out.
    """

    values: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)
    about: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def draft(model: str, data: str, *, objective: object = None, given: Mapping[str, Any] | None = None) -> Draft:
    """Return a recipe that trains a model on a data file.

    Args:
        model: as ``model.path``.
        data: as ``data.path``.
        objective: a name or a mapping; None: by the model.
        given: values of sections that outrank what would be chosen, such as ``{"data": {"columns": …}}``.

    Returns:
        The recipe, with reasons.

    Raises:
        UserError: there is no such model or file, or it cannot be used; the objective is unknown.
        InvalidConfigError: the model cannot be loaded, with all reasons.
    """  # noqa: DOC502
    given = given or {}
    seen = look_at_model(model, mask_token=(given.get("model") or {}).get("mask_token"))
    made = Draft(values={})
    made.values["model"] = {"path": model}
    written = (given.get("decoder") or {}).get("block_size")
    chosen, size = _objective(objective, written if isinstance(written, int) else None, seen, made)
    rows = {"path": data, **(given.get("data") or {})}
    looked = look_at_data(rows, seen, size)
    _about(model, data, seen, looked, made)
    made.values["data"] = rows | _of_data(looked, seen, made, rows)
    made.values["objective"] = chosen
    made.values["decoder"] = {"block_size": size, "threshold": 0.9}
    made.why["decoder.threshold"] = "higher is slower and more careful"
    made.values["run"] = _of_run(looked, seen, made)
    for section, values in given.items():
        for key in values if isinstance(values, dict) else ():
            made.why.pop(f"{section}.{key}", None)
        inner = made.values.get(section)
        made.values[section] = {**inner, **values} if isinstance(inner, dict) and isinstance(values, dict) else values
    return made


def _objective(wanted: object, given: int | None, seen: SeenModel, made: Draft) -> tuple[object, int]:
    """Return the objective as a recipe writes it, and the block size in columns: the given one, or one that fits."""
    size = given or seen.block_size or BLOCK_SIZE
    made.why["decoder.block_size"] = "that of the model" if seen.block_size else "a usual size"
    if wanted is not None:
        method = choose(OBJECTIVES, wanted, "objective")
        if method.block_size:
            made.why["decoder.block_size"] = "as the objective"
        return wanted, method.block_size or size
    if seen.is_causal:
        made.why["objective"] = "it makes a diffusion model of one that writes from left to right"
        return {"name": "vanilla"}, size
    if seen.attention == "block_causal":
        return {"name": "block_diffusion", "block_size": size}, size
    blockwise = {"name": "blockwise", "block_size": size}
    if seen.attention != "bidirectional":
        return blockwise, size
    made.why["objective"] = "each example by one of the two, so that both ways to decode stay good"
    return {"name": "mixture", "members": [{"name": "lift"}, blockwise]}, size


def _about(model: str, data: str, seen: SeenModel, looked: SeenData, made: Draft) -> None:
    """Add what was found, and what was not looked at or is left out."""
    made.about += [
        f"{model}: {seen.found or 'on the hub, not looked at'}",
        f"{data}: {looked.found or 'not looked at'}",
    ]
    if not seen.found:
        made.remarks.append(f"no '{model}' here; as a name on the hub it is not looked at, so sizes are the usual ones")
    if not looked.found:
        made.remarks.append(f"no '{data}' here; as a name on the hub it is not looked at, so sizes are the usual ones")
    elif not looked.lengths:
        made.remarks.append("without a tokenizer, the lengths of the examples are not known")
    if not looked.is_whole:
        made.remarks.append(f"only the first {looked.rows:,} rows were looked at")
    made.remarks += [f"rows that cannot be used: {fault}" for fault in looked.faults]


def _of_data(looked: SeenData, seen: SeenModel, made: Draft, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return max_length, held_out, and how rows that do not fit are treated."""
    found: dict[str, Any] = {}
    if looked.faults:
        found["on_bad"] = "skip"
        made.why["data.on_bad"] = f"first: {looked.faults[0]}"
    if not looked.lengths:
        return found | {"max_length": 1024, "too_long": "skip"}
    longest, most = max(looked.lengths), min(LONGEST, seen.positions or LONGEST)
    found["max_length"] = length = int(given.get("max_length", min(most, -(-longest // 64) * 64)))
    beyond = sum(each > length for each in looked.lengths)
    made.why["data.max_length"] = f"the longest example takes {longest:,}"
    if beyond or not looked.is_whole:
        found["too_long"] = "skip"
        made.why["data.too_long"] = f"{beyond:,} of {len(looked.lengths):,} examples are longer"
        if beyond:
            made.remarks.append(f"{beyond:,} of {len(looked.lengths):,} examples are longer than {length:,} tokens")
    usable = len(looked.lengths) - beyond
    if not usable:
        raise UserError(f"expected examples of at most {length:,} tokens, found none; the shortest is longer: cut them")
    if looked.prompts >= 20:  # fewer are too few to part
        found["held_out"] = min(200, looked.prompts // 20)
        made.why["data.held_out"] = f"of {looked.rows:,}"
    return found


def _of_run(looked: SeenData, seen: SeenModel, made: Draft) -> dict[str, Any]:
    """Return steps, batch and learning rate; adapters are added to the model where it is large."""
    data = made.values["data"]
    examples = sum(each <= data["max_length"] for each in looked.lengths) - data.get("held_out", 0)
    is_counted = bool(looked.lengths) and looked.is_whole
    window = min(WINDOW, 1 << max(0, examples // 4).bit_length() - 1) if is_counted and examples >= 4 else WINDOW
    window = 1 if is_counted and examples < 4 else window
    lora = _needs_adapters(seen, data["max_length"])
    if lora:
        made.values["model"]["lora"] = {"rank": 64}
        large = f"{amount(seen.size.weights)} weights" if seen.size else "a large model"
        made.why["model.lora"] = f"for {large}; take it out to train all of them"
    most = WINDOW if seen.size and seen.size.weights < SMALL else MOST
    fitting = [
        b
        for b in BATCHES
        if b <= min(window, most) and _fits(seen, b * data["max_length"], lora=lora, recomputed=False)
    ]
    batch = fitting[0] if fitting else 1
    rate = next(rate for least, rate in RATES if (seen.size.weights if seen.size else LARGE) >= least)
    run: dict[str, Any] = {"epochs": TIMES, "batch_size": batch}
    if is_counted:
        run["epochs"] = epochs = max(TIMES, -(-FEWEST * window // max(1, examples)))
        made.why["run.epochs"] = f"{-(-epochs * examples // window):,} steps on {examples:,} examples"
    if window > batch:
        run["accumulate"] = window // batch
        made.why["run.accumulate"] = f"{window} rows a step"
    run |= {"lr": rate, "seed": 0}
    made.why["run.lr"] = "the first thing to try others of"
    if not fitting:
        run["gradient_checkpointing"] = True
    return run


def _needs_adapters(seen: SeenModel, columns: int) -> bool:
    """Return whether a model is too large to train all of its weights here; one that was not looked at may be."""
    if seen.size is None:
        return not seen.found
    return seen.size.weights >= LARGE or not _fits(seen, columns, lora=False, recomputed=True)


def _fits(seen: SeenModel, columns: int, *, lora: bool, recomputed: bool) -> bool:
    """Return whether the memory that is free is enough for a micro-batch, as far as that can be known."""
    if seen.size is None:
        return True
    size = replace(seen.size, trained=0) if lora else seen.size
    try:
        check_training_memory(size, pick_device(None), columns=columns, recomputed=recomputed)
    except UserError:
        return False
    return True
