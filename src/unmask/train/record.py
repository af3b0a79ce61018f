"""Settings and hashes that a run's result depends on; ``run.json`` holds them, and a resumed run must have the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any, cast

import numpy as np

from unmask.config.components import choose
from unmask.config.defaults import Layout
from unmask.data import Blend, Curriculum, Encoded
from unmask.errors import UserError, shorten
from unmask.heads import Head
from unmask.models import LoadedModel
from unmask.models.fingerprint import hash_of_model
from unmask.objectives import OBJECTIVES
from unmask.train.config import TrainRun

IRRELEVANT = (
    "steps", "epochs", "model", "keep", "save_every", "log_every", "report_to", "export", "eval_bound", "samples",
    "save_best", "patience", "min_delta",
)  # fmt: skip
"""Settings that may differ in a resumed run: ``refuse_extension`` checks the steps, and hashes identify the model."""

_MEANING = {
    "data": "the training examples (their tokens or their order)",
    "held_out": "the held-out examples",
    "blend": "how many examples the files of data.sources have, and their weights",
    "template": "the chat template",
    "weights": "the weights or the config of the model that it starts from",
}


def settings_of_run(run: TrainRun, layout: Layout, curriculum: Curriculum | None) -> dict[str, Any]:
    """Return the settings that are known before a model is loaded: the run, its objective, curriculum and layout.

    Args:
        run: how it trains.
        layout: how rows are laid out; its block size and grid are left out, as they depend on the model.
        curriculum: in which order examples are shown; None: shuffled.

    Returns:
        Settings by name, as JSON types.
    """
    values = {f.name: getattr(run, f.name) for f in fields(run) if f.name != "bf16"}  # what came of it is added
    values["master_weights"] = run.master_weights or None  # older records have none
    values["objective"] = _described(run.objective)
    values["curriculum"] = None if curriculum is None else _described(curriculum)
    values |= {f.name: getattr(layout, f.name) for f in fields(layout) if f.name not in ("block_size", "grid")}
    if layout.pack is None:  # decided when the data are read
        del values["pack"]
    return _as_json(values)


def settings_of_inputs(
    lm: LoadedModel, examples: Sequence[Encoded], held_out: Sequence[Encoded], layout: Layout
) -> dict[str, Any]:
    """Return the settings that depend on model and data: names, facts, hashes of weights, template and examples.

    Args:
        lm: before its first step.
        examples: that are trained on.
        held_out: of the held-out loss.
        layout: with its block size and grid.

    Returns:
        Settings by name, as JSON types.
    """
    template = getattr(lm.tokenizer, "chat_template", None)
    values = {
        "model": lm.source,
        "weights": hash_of_model(lm),
        "dtype": str(next(lm.model.parameters()).dtype).removeprefix("torch."),
        "lora": _lora(lm),
        "heads": {name: dict(cast("Head", head).settings) for name, head in lm.heads.items()},
        "facts": lm.facts.for_training(),
        "examples": len(examples),
        "data": hash_of(examples),
        "held_out": hash_of(held_out),
        "template": _short_hash(json.dumps(template)) if template else None,
        "block_size": layout.block_size,
        "grid": None if layout.grid == "answer" else layout.grid,  # older records have none
    }
    return _as_json(values)


def settings_of_blend(blend: Blend | None) -> dict[str, Any]:
    """Return the number of examples and the weight of each file, as JSON types; None where there are no weights."""
    if blend is None:
        return {"blend": None}
    return {"blend": [[len(m), weight] for m, weight in zip(blend.members, blend.weights, strict=True)]}


def hash_of(examples: Sequence[Encoded]) -> str | None:
    """Return a hash, 16 hex digits, of the tokens of examples in their order; None if there are no examples."""
    if not examples:
        return None
    digest = hashlib.sha256()
    for example in examples:
        for tokens in (example.prompt, example.answer):
            digest.update(len(tokens).to_bytes(8, "little"))
            digest.update(np.asarray(tokens, dtype=np.int64).tobytes())
        digest.update(repr(getattr(example, "difficulty", None)).encode())
    return digest.hexdigest()[:16]


def refuse_changes(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a run is resumed with the settings that it began with.

    Args:
        name: of the run's folder, for the message.
        before: settings of its record.
        now: some or all of its settings; those in ``IRRELEVANT`` may differ. A setting that its record lacks, as an
            older version wrote it, counts as None.

    Raises:
        UserError: names every field that differs.
    """
    changed = [key for key in sorted(now) if key not in IRRELEVANT and _told(now[key]) != _told(before.get(key))]
    if not changed:
        return
    told = [f"{key} was {_shown(before.get(key))} and is {_shown(now[key])}" for key in changed]
    meant = "; ".join(f"{key}: {_MEANING[key]}" for key in changed if key in _MEANING)
    raise UserError(
        f"{name}: not the run that it holds: {', '.join(told)}{f' ({meant})' if meant else ''}; resume with the recipe "
        "and the data that it was started with"
    )


def settings_today(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run of format 1 with its objective described by this version's fields.

    The objective is built from the run's recipe, or where there is none from the fields in the record.

    Args:
        name: of the run's folder, for the message.
        record: content of its ``run.json``.

    Returns:
        Settings by name, as JSON types.

    Raises:
        UserError: this version cannot make that objective.
    """
    settings, recipe = dict(record["settings"]), record.get("recipe")
    written = (recipe.get("objective") or "vanilla") if isinstance(recipe, Mapping) else settings["objective"]
    try:
        return settings | _as_json({"objective": _described(choose(OBJECTIVES, written, "objective"))})
    except UserError as error:
        began = shorten(record["versions"].get("unmask"), 20)
        raise UserError(
            f"{name}: its objective, of unmask {began}, cannot be read by this version: {error}; go on with "
            f"pip install unmask=={began}, or start a new run from its newest checkpoint (model.path)"
        ) from error


def refuse_extension(name: str, before: Mapping[str, Any], run: TrainRun, curriculum: Curriculum | None) -> None:
    """Check that a run of another number of steps would have been the same so far.

    Args:
        name: of the run's folder, for the message.
        before: settings of its record.
        run: its settings now.
        curriculum: in which order examples are shown; None: shuffled.

    Raises:
        UserError: learning rate, objective or curriculum depend on the share of the run that is done.
    """
    if before["steps"] == run.steps:
        return
    reason = None
    if run.schedule != "constant":
        reason = f"run.schedule={run.schedule} has lowered the learning rate for {before['steps']} steps"
    elif run.objective.scheduled(0.0) != run.objective.scheduled(1.0):
        reason = f"the objective {run.objective.name} has changed its settings over {before['steps']} steps"
    elif curriculum is not None:
        reason = f"the curriculum has ordered the examples of {before['steps']} steps"
    if reason:
        raise UserError(
            f"{name}: steps was {before['steps']} and is {run.steps}, but {reason}; resume with the steps that it was "
            "started with, or start a new run from its model (model.path)"
        )


def _lora(lm: LoadedModel) -> object:
    """Return the settings of a model's adapters, None where it has none."""
    configs = getattr(lm.model, "peft_config", None)
    if not configs:
        return None
    names = ("r", "lora_alpha", "lora_dropout", "target_modules", "trainable_token_indices")
    found = [{name: _as_values(getattr(config, name, None)) for name in names} for config in configs.values()]
    for values, config in zip(found, configs.values(), strict=True):
        if parameters := getattr(config, "target_parameters", None):  # records before it was used lack the key
            values["target_parameters"] = sorted(parameters)
    return found


def _described(part: object) -> object:
    """Return a component, and the components in it, as names and fields."""
    if is_dataclass(part) and not isinstance(part, type):
        named = {"name": part.name} if hasattr(part, "name") else {}
        return {**named, **{f.name: _described(getattr(part, f.name)) for f in fields(part)}}
    return part


def _told(value: object) -> object:
    """Return a mapping without the keys whose value is None; other values unchanged."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value


def _as_values(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return made


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
