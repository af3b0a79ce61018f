"""Attaches heads to a model, saves them beside its weights, and loads them with the model they were trained with."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from unmask.errors import UserError, shorten
from unmask.heads import HEADS, HEADS_ATTRIBUTE, Head
from unmask.models.denoiser import StockDenoiser
from unmask.models.facts import AdapterBase
from unmask.models.fingerprint import fingerprint
from unmask.models.weights import read_header
from unmask.runtime.foreign import foreign
from unmask.runtime.transformers_api import recompute_activations

FILE = "unmask_heads.safetensors"
TWICE = (
    "gradient checkpointing runs layers twice, which the confidence stream of remedi cannot follow; "
    "write gradient_checkpointing: false"
)


def attach_head(denoiser: StockDenoiser, name: str, settings: Mapping[str, Any]) -> None:
    """Add a head to a model, unless it has one of that name and settings already.

    Args:
        denoiser: its transformers model gets the head as a submodule.
        name: of a registered head.
        settings: of the head, by name.

    Raises:
        UserError: the model has one with other settings (its ``free`` ones may differ), or its activations are
            recomputed, which the head ``confidence`` does not support.
    """
    stock, heads = denoiser.stock, denoiser.heads
    if name == "confidence" and any(getattr(m, "gradient_checkpointing", False) for m in stock.modules()):
        raise UserError(TWICE)
    if name in heads:
        head = cast("Head", heads[name])
        found, wanted = ({k: v for k, v in x.items() if k not in head.free} for x in (head.settings, settings))
        if {**found, **wanted} != found:
            raise UserError(f"the model has a head '{name}' with {found}, the objective asks for {wanted}")
        head.lr = settings.get("lr", head.lr)
        return
    heads[name] = HEADS[name](stock, **settings).to(denoiser.device)
    setattr(stock, HEADS_ATTRIBUTE, heads)


def checkpoint_gradients(denoiser: StockDenoiser) -> None:
    """Switch a model to recomputing activations in the backward pass instead of storing them.

    Args:
        denoiser: the model.

    Raises:
        UserError: it has the head ``confidence``, which does not support it.
    """
    if "confidence" in denoiser.heads:
        raise UserError(TWICE)
    recompute_activations(denoiser.stock)


def save_heads(denoiser: StockDenoiser, adapter: AdapterBase | None, folder: Path) -> None:
    """Write the heads of a model to ``unmask_heads.safetensors``, if it has any.

    Args:
        denoiser: the model.
        adapter: where the model is a PEFT wrapper, what its base was.
        folder: where the file goes.
    """
    from safetensors.torch import save_file

    if not denoiser.heads:
        return
    settings = {name: dict(cast("Head", head).settings) for name, head in denoiser.heads.items()}
    note = {"heads": json.dumps(settings), **_owner(denoiser, adapter)}
    weights = {name: weight.detach().contiguous().clone() for name, weight in denoiser.heads.state_dict().items()}
    save_file(weights, folder / FILE, metadata=note)


def load_heads(denoiser: StockDenoiser, adapter: AdapterBase | None, folder: Path) -> None:
    """Attach the heads that a folder holds, if any.

    Args:
        denoiser: the model.
        adapter: where the model is a PEFT wrapper, what its base was.
        folder: of the model.

    Raises:
        UserError: they were trained with other weights, or do not fit.
    """  # noqa: DOC502
    if not os.path.lexists(folder / FILE):
        return
    read_header(folder / FILE)
    with foreign(f"the heads in '{shorten(folder / FILE, 120)}' cannot be attached"):
        _attach_stored(denoiser, adapter, folder / FILE)


def _attach_stored(denoiser: StockDenoiser, adapter: AdapterBase | None, path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="pt", device=str(denoiser.device)) as file:
        note = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    owner = _owner(denoiser, adapter)
    mark = "fingerprint" if note["dtype"] == owner["dtype"] else "signs"
    if note[mark] != owner[mark]:
        raise UserError(
            f"{path}: expected heads of the model beside them (weights {owner[mark][:12]}), found heads of "
            f"{note[mark][:12]}; take the file from the folder in which they were saved, or delete it"
        )
    for name, settings in json.loads(note["heads"]).items():
        attach_head(denoiser, name, settings)
    denoiser.heads.load_state_dict(weights)


def restore_heads(denoiser: StockDenoiser, folder: Path) -> None:
    """Load the weights of heads that are attached already, from a checkpoint of the same run.

    Args:
        denoiser: the model.
        folder: of the checkpoint.
    """
    from safetensors.torch import load_file

    if denoiser.heads:
        denoiser.heads.load_state_dict(load_file(folder / FILE, device=str(denoiser.device)))


def _owner(denoiser: StockDenoiser, adapter: AdapterBase | None) -> dict[str, str]:
    """Return hashes of the weights that heads belong to (the base's of an adapter), one by signs for other dtypes."""
    if adapter is not None:
        return {"fingerprint": adapter.fingerprint, "dtype": adapter.dtype, "signs": adapter.fingerprint}
    dtype = str(denoiser.stock.dtype).removeprefix("torch.")
    return {"fingerprint": fingerprint(denoiser), "dtype": dtype, "signs": fingerprint(denoiser, signs=True)}
