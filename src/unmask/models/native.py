"""The guard of saved models: no other program can take a diffusion language model for a causal one.

Transformers, vLLM and SGLang stop at an unknown ``model_type``, LMDeploy only at unknown ``architectures`` (read in
transformers 5.24, vLLM 0.33.0, SGLang 0.5.23 and LMDeploy 0.18.0; run in the first). A folder that says ``llama`` would
be answered from left to right, wrongly and without an error. So both keys of saved folders name what none of them
knows, and the stock names stand beside. ``unmask export`` writes folders for other programs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unmask.errors import UserError, shorten

MODEL_TYPE = "unmask"
ARCHITECTURE = "UnmaskDiffusionLM"
STOCK = "unmask_stock"
_KEYS = ("model_type", "architectures")


def guard(folder: Path) -> bool:
    """Change ``config.json`` of a saved folder so that only unmask loads it; masked language models stay as they are.

    Args:
        folder: of a model that transformers saved.

    Returns:
        Whether it was changed.
    """
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    if any(name.endswith("ForMaskedLM") for name in config.get("architectures") or []):
        return False  # other programs load these as what they are
    stock = {key: config.get(key) for key in _KEYS}
    guarded = {**config, "architectures": [ARCHITECTURE], "model_type": MODEL_TYPE, STOCK: stock}
    file.write_text(json.dumps(guarded, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return True


def unguarded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the stock names in place of the guard.

    Args:
        config: content of ``config.json``.

    Returns:
        The same, unchanged where there is no guard.

    Raises:
        UserError: the stock names are missing, or ``architectures`` was changed.
    """
    if config.get("model_type") != MODEL_TYPE:
        return dict(config)
    stock = config.get(STOCK)
    if not isinstance(stock, Mapping) or not isinstance(stock.get("model_type"), str):
        found = shorten(repr(stock), 60)
        raise UserError(f"config.json: expected {STOCK} with the model_type of the stock class, found {found}")
    if config.get("architectures") != [ARCHITECTURE]:
        found = shorten(repr(config.get("architectures")), 60)
        raise UserError(f"config.json: expected a list of names for architectures, {[ARCHITECTURE]}, found {found}")
    rest = {key: value for key, value in config.items() if key not in (*_KEYS, STOCK)}
    return rest | {key: stock[key] for key in _KEYS if stock.get(key) is not None}
