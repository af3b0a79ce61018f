"""Finds the family of a checkpoint by model type and architecture together, and refuses what only looks like one."""

from collections.abc import Mapping
from typing import Any

from unmask.errors import UserError, shorten
from unmask.models.families.base import FAMILIES, Family
from unmask.runtime.transformers_api import architectures_of, knows

LATER = {
    "diffusion_gemma": "DiffusionGemma",
    "nemotron_labs_diffusion": "Nemotron-Labs-Diffusion",
    "mdlm": "MDLM",
    "bd3lm": "BD3LM",
    "sedd": "SEDD",
}
"""Model types of diffusion language models that no stock class computes."""
BY_HAND = (
    "shift=…, attention=… and mask_token=… (or mask_id=…), with block_size=… if attention is not bidirectional; on the "
    "command line, unmask convert takes them once for all"
)


def find_family(config: Mapping[str, Any], *, is_stated: bool = False) -> Family | None:
    """Return the family of a checkpoint, None for a model that transformers knows by itself.

    Args:
        config: the checkpoint's ``config.json``, ``auto_map`` included.
        is_stated: the user states shift, attention and mask token: a checkpoint whose code is not the stock class's
            is then taken for the stock model that its ``model_type`` names.

    Returns:
        The family that fits ``model_type`` and ``architectures[0]``; None if the checkpoint is a stock model.

    Raises:
        UserError: nobody knows the ``model_type``; or the architecture or the code that ``config.json`` names is not
            that of the stock class, and no family says that it computes the same.
    """
    model_type = str(config.get("model_type"))
    if title := LATER.get(model_type):
        raise UserError(f"{title} models (model_type {model_type}) are not supported yet: no stock class computes them")
    fits: dict[str, list[Family]] = {"yes": [], "unnamed": [], "no": []}
    for name in FAMILIES:
        fits[FAMILIES[name].fits(config)].append(FAMILIES[name])
    if fits["yes"]:
        return max(fits["yes"], key=lambda family: len(family.needs_keys))
    unnamed = [family for family in fits["unnamed"] if not knows(model_type) or family.needs_keys]
    if len(unnamed) == 1:
        return unnamed[0]
    if not knows(model_type):
        raise UserError(_unknown(config, model_type))
    is_ours = {"mask_id", "eos_ids", "filler_id", "vocab_size"} <= {*(config.get("unmask") or {})}
    if not is_ours and not is_stated and (found := _foreign(config, model_type)):
        raise UserError(
            f"config.json says model_type={model_type}, but {found}: this is not the {model_type} model that "
            "transformers knows, and no family here has that architecture; if you know how it was trained, write "
            f"{BY_HAND}"
        )
    return None


def _foreign(config: Mapping[str, Any], model_type: str) -> str | None:
    """Return what in a configuration is not of the stock class, or None."""
    named = config.get("architectures") or []
    known = architectures_of(model_type)
    if isinstance(named, list) and named and not (isinstance(named[0], str) and named[0] in known):
        return f"architectures[0] is {shorten(repr(named[0]), 60)}"
    code = config.get("auto_map") or {}
    if not isinstance(code, Mapping):
        return f"auto_map is {shorten(repr(code), 80)}"
    for key, value in code.items():
        if str(key).startswith("AutoModel"):
            return f"auto_map has {shorten(key, 40)}: {shorten(repr(value), 80)}"
    return None


def _unknown(config: Mapping[str, Any], model_type: str) -> str:
    named = config.get("architectures") or [None]
    same = [FAMILIES[name] for name in FAMILIES if model_type in FAMILIES[name].model_types]
    shown = f"model_type={shorten(repr(config.get('model_type')), 60)}"
    if same:
        known = ", ".join(sorted({each for family in same for each in family.architectures}))
        keys = sorted({key for family in same for key in family.needs_keys})
        with_keys = f" with {' or '.join(keys)} in config.json" if keys else ""
        found = shorten(repr(named[0] if isinstance(named, list) else named), 60)
        return f"config.json says {shown} and architectures[0]={found}; expected {known}{with_keys}"
    known = ", ".join(sorted({each for name in FAMILIES for each in FAMILIES[name].model_types}))
    return (
        f"config.json says {shown}, which neither transformers nor unmask ({known}) knows without running the "
        "checkpoint's own code"
    )
