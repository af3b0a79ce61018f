"""Heads on disk: their weights beside the model's, and a note of the weights that they were trained with."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from unmask.errors import UserError, shorten
from unmask.foreign import foreign
from unmask.models.weights import read_header

if TYPE_CHECKING:
    from unmask.models.denoiser import LoadedModel

FILE = "unmask_heads.safetensors"


def save_heads(lm: "LoadedModel", folder: Path) -> None:
    """Write the heads of a model, if it has any."""
    from safetensors.torch import save_file

    if not lm.heads:
        return
    settings = {name: dict(head.settings) for name, head in lm.heads.items()}
    note = {"heads": json.dumps(settings), **_owner(lm)}
    weights = {name: weight.detach().contiguous().clone() for name, weight in lm.heads.state_dict().items()}
    save_file(weights, folder / FILE, metadata=note)


def load_heads(lm: "LoadedModel", folder: Path) -> None:
    """Attach the heads that a folder holds.

    Raises:
        UserError: they were trained with other weights, or do not fit.
    """
    if not os.path.lexists(folder / FILE):
        return
    read_header(folder / FILE)
    with foreign(f"the heads in '{shorten(folder / FILE, 120)}' cannot be attached"):
        _attach(lm, folder)


def _attach(lm: "LoadedModel", folder: Path) -> None:
    from safetensors import safe_open

    with safe_open(folder / FILE, framework="pt", device=str(lm.device)) as file:  # type: ignore[no-untyped-call]
        note = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    owner = _owner(lm)
    mark = "fingerprint" if note["dtype"] == owner["dtype"] else "signs"
    if note[mark] != owner[mark]:
        raise UserError(
            f"{folder / FILE}: expected heads of the model beside them (weights {owner[mark][:12]}), found heads of "
            f"{note[mark][:12]}; take the file from the folder in which they were saved, or delete it"
        )
    for name, settings in json.loads(note["heads"]).items():
        lm.attach(name, settings)
    lm.heads.load_state_dict(weights)


def restore_heads(lm: "LoadedModel", folder: Path) -> None:
    """Take over the weights of heads that are attached already, from a checkpoint of the same run."""
    from safetensors.torch import load_file

    if lm.heads:
        lm.heads.load_state_dict(load_file(folder / FILE, device=str(lm.device)))


def _owner(lm: "LoadedModel") -> dict[str, str]:
    """Tell the weights that heads belong to: the base's where there are adapters. Signs outlive another dtype."""
    from unmask.models.fingerprint import fingerprint

    if lm.adapter:
        return {"fingerprint": lm.adapter.fingerprint, "dtype": lm.adapter.dtype, "signs": lm.adapter.fingerprint}
    dtype = str(lm.stock.dtype).removeprefix("torch.")
    return {"fingerprint": fingerprint(lm), "dtype": dtype, "signs": fingerprint(lm, signs=True)}
