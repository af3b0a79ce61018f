"""Checks ``adapter_config.json`` before PEFT reads it: LoRA only, sizes bounded by the weights, no code to import."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unmask.errors import UserError, shorten
from unmask.models.weights import Stored
from unmask.runtime.foreign import foreign, read_object

TAKEN = (
    "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "fan_in_fan_out", "bias", "use_rslora",
    "modules_to_save", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern",
    "trainable_token_indices", "use_dora", "lora_bias", "target_parameters", "task_type",
)  # fmt: skip
PASSED = (
    "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "peft_type", "peft_version",
    "init_lora_weights", "megatron_core", "qalora_group_size", "runtime_config", "ensure_weight_tying",
)  # fmt: skip
"""Keys that are ignored: they do not change a trained LoRA, or would have something imported or downloaded."""

_NAME = re.compile(r"[\w.-]+")
_HEADS = re.compile(r"\.\*\\b\w+\\b\.\*")  # what unmask writes to leave its heads out
_LAYER = re.compile(r"base_model\.model\.(.+?)\.(lora_[A-Z]\w*|lora_magnitude_vector)\b.*")


def adapter_config(file: Path, stored: Mapping[str, Stored]) -> Any:
    """Return PEFT's configuration of a LoRA adapter.

    Args:
        file: ``adapter_config.json``.
        stored: the adapter's weights by name.

    Returns:
        A ``peft.LoraConfig``.

    Raises:
        UserError: it is another kind of adapter, sets an option that is not supported, or is damaged.
    """  # noqa: DOC503
    from peft import LoraConfig

    written = read_object(file, 2**24)
    if written.get("peft_type") != "LORA":
        raise _refused(file, "peft_type: LORA", written.get("peft_type"))
    for key, value in written.items():
        if key not in (*TAKEN, *PASSED) and value not in (None, False, {}, [], 0):
            raise _refused(file, f"no {shorten(key, 60)}, which is not done here", value)
    kept = {key: written[key] for key in TAKEN if key in written}
    kept["target_modules"] = _targets(file, kept, stored)
    _check(file, kept, stored)
    with foreign(f"PEFT refuses '{shorten(file, 120)}'", "mend that value"):
        return LoraConfig(**kept)


def _targets(file: Path, kept: Mapping[str, Any], stored: Mapping[str, Stored]) -> list[str]:
    """Return names of layers; a pattern is never run, it is replaced by the layers that have weights."""
    written, parameters = kept.get("target_modules"), kept.get("target_parameters")
    names = parameters if isinstance(parameters, list) and all(_is_name(name) for name in parameters) else []
    if isinstance(written, list) and (written or names) and all(_is_name(name) for name in written):
        return written
    if written is not None and not isinstance(written, str):
        raise _refused(file, "names of layers for target_modules", written)
    found = {match[1] for name in stored if (match := _LAYER.fullmatch(name))}
    layers = sorted(name for name in found if not _is_parameter(name, names))
    if not found:
        raise UserError(f"expected the weights of a LoRA beside '{shorten(file, 120)}', found none of that kind")
    return layers


def _is_parameter(layer: str, parameters: list[str]) -> bool:
    """Return whether the adapter under this name is on one of these parameters, such as ``mlp.experts.down_proj``."""
    plain = layer.replace(".base_layer", "")
    owners = {name.rpartition(".")[0] for name in parameters}
    is_stack = bool(parameters) and plain.rpartition(".")[2] == "experts"
    return is_stack or any(plain == owner or (owner and plain.endswith(f".{owner}")) for owner in owners)


def _check(file: Path, kept: Mapping[str, Any], stored: Mapping[str, Stored]) -> None:
    widest = max((min(tensor.shape) for tensor in stored.values() if tensor.shape), default=0)
    ranks = kept.get("rank_pattern") or {}
    for name in ("rank_pattern", "alpha_pattern"):
        pattern = kept.get(name) or {}
        if not isinstance(pattern, dict) or not all(_is_name(_bare(key)) for key in pattern):
            raise _refused(file, f"names of layers for {name}", pattern)
    for rank in (kept.get("r", 8), *ranks.values()):
        if type(rank) is not int or not 1 <= rank <= max(widest, 8):
            raise _refused(file, f"a rank of 1 to {max(widest, 8)}, as the weights have", rank)
    for name in ("modules_to_save", "layers_pattern", "target_parameters", "exclude_modules"):
        value = kept.get(name)
        names = [value] if isinstance(value, str) else value or []
        ours = name == "exclude_modules" and isinstance(value, str) and _HEADS.fullmatch(value)
        if not ours and not (isinstance(names, list) and all(_is_name(each) for each in names)):
            raise _refused(file, f"names for {name}", value)


def _bare(key: str) -> str:
    """Return a key of PEFT's patterns without the signs that PEFT itself writes around the name of a layer."""
    return key.strip("^$").removeprefix(r".*\.")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) < 500 and _NAME.fullmatch(value) is not None


def _refused(file: Path, expected: str, found: object) -> UserError:
    return UserError(f"'{shorten(file, 120)}': expected {expected}, found {shorten(repr(found), 60)}")
