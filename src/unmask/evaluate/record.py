"""Every setting of a run as JSON, so that it can be repeated and distinguished from others."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from unmask.config.plugins import named_plugins
from unmask.decoding import Decoder
from unmask.evaluate import processes
from unmask.evaluate.answers import digest
from unmask.models import LoadedModel
from unmask.models.fingerprint import fingerprint as hash_weights
from unmask.models.fingerprint import hash_of_model
from unmask.runtime.environment import hardware, versions
from unmask.tasks import Problem, Task

IRRELEVANT = ("model", "batch_size")
"""Settings that no answer depends on: the weights say which model it is, whatever it is called."""


def settings_of(
    lm: LoadedModel,
    task: Task,
    problems: Sequence[Problem],
    *,
    decoder: Decoder,
    model: str,
    split: str,
    **numbers: int | None,
) -> dict[str, Any]:
    """Describe a run: what ``unmask eval`` needs to repeat it, and hashes that show whether it would be the same.

    Args:
        lm: the model; its weights are hashed.
        task: the task that judges.
        problems: what the model is asked; their prompts and answers are hashed.
        decoder: how it decodes; its defaults are resolved for the model.
        model: name or folder of the model.
        split: of the task.
        **numbers: ``max_new_tokens``, ``batch_size``, ``samples``, ``seed``, and ``size``, the number of problems.

    Returns:
        Settings and hashes by name, as JSON types.
    """
    resolved = decoder.resolve(**lm.decoding)
    return {
        "model": _absolute(model),
        "weights": hash_weights(lm),
        "model_hash": hash_of_model(lm),
        "dtype": str(next(lm.model.parameters()).dtype).removeprefix("torch."),
        "task": described(task),
        "split": split,
        "problems": len(problems),
        "problems_hash": digest([[problem.prompt, problem.answer] for problem in problems]),
        "decoder": described(resolved),
        **numbers,
    }


def described(value: object) -> Any:
    """Return a component, with the components in it, as the mapping that makes it again."""
    if is_dataclass(value) and not isinstance(value, type):
        inside = {field.name: described(getattr(value, field.name)) for field in fields(value)}
        name = getattr(value, "name", None)
        return {"name": name, **inside} if name else inside
    if isinstance(value, Mapping):
        return {str(key): described(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return a hash of the settings that answers depend on."""
    return digest({name: value for name, value in settings.items() if name not in IRRELEVANT})


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """Find the settings that answers depend on and that differ.

    >>> differences({"seed": 0, "decoder": {"steps": 8}}, {"seed": 0, "decoder": {"steps": 4}})
    ['decoder.steps was 8 and is 4']

    Args:
        before: settings of one run.
        now: settings of another.
        path: name of the setting that holds these; empty for all settings.

    Returns:
        A phrase for each.
    """
    found = []
    for name in sorted(before.keys() | now.keys()):
        was, has = before.get(name), now.get(name)
        if was == has or (not path and (name in IRRELEVANT or (name == "model_hash" and was is None))):
            continue  # records of older versions have no hash of the whole model
        if isinstance(was, Mapping) and isinstance(has, Mapping):
            found += differences(was, has, f"{path}{name}.")
        else:
            found.append(f"{path}{name} was {_short(was)} and is {_short(has)}")
    return found


def made_with(device: torch.device | str) -> dict[str, Any]:
    """Return plug-ins, versions, machine and command line, as JSON types."""
    machine = {**hardware(device), "processes": processes.world()}
    return {"plugins": named_plugins(), "versions": versions(), "hardware": machine, "command": sys.argv}


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _absolute(model: str) -> str:
    """Return a local path as an absolute one, so that a run can be repeated from elsewhere; other names unchanged."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.exists() else model
