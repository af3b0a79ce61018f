"""Weights under released names: which tensors, in which files, in which dtypes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unmask.errors import UserError
from unmask.models.families import Family
from unmask.models.families.base import DTYPES
from unmask.models.loaded import LoadedModel
from unmask.models.weights import Stored

SHARD = 5 * 10**9  # bytes
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, kw_only=True)
class WeightLayout:
    """Where each released tensor goes.

    Args:
        family: whose names they are.
        files: released name -> name of its file, in the order in which they are written.
        dtypes: released name -> dtype in the file.
        sizes: released name -> bytes.
        has_index: whether an index is written beside.
    """

    family: Family
    files: Mapping[str, str]
    dtypes: Mapping[str, torch.dtype]
    sizes: Mapping[str, int]
    has_index: bool

    def write(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        """Write the shards, one of them in memory at a time, and the index.

        Args:
            folder: where.
            state: tensors of the stock model by name.
        """
        from safetensors.torch import save_file

        shapes = {name: tensor.shape for name, tensor in state.items()}
        for file in dict.fromkeys(self.files.values()):
            names = [name for name, its_file in self.files.items() if its_file == file]
            shard = {name: self.family.rules.read(name, state, shapes).to("cpu", self.dtypes[name]) for name in names}
            save_file(
                {name: tensor.contiguous().clone() for name, tensor in shard.items()}, folder / file, {"format": "pt"}
            )
        if self.has_index:
            index = {"metadata": {"total_size": sum(self.sizes.values())}, "weight_map": dict(self.files)}
            (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    def check(self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
        """Check that a model that was read back holds the values that were written.

        Args:
            found: tensors of the stock model that was read back.
            wanted: tensors of the stock model that was written.

        Raises:
            RuntimeError: a tensor differs; the folder is not to be used.
        """
        shapes = {name: tensor.shape for name, tensor in wanted.items()}
        for name, dtype in self.dtypes.items():
            back = self.family.rules.read(name, found, shapes)
            sent = self.family.rules.read(name, wanted, shapes).to("cpu", dtype)
            if not torch.equal(sent.to(back.dtype), back.cpu()):
                raise RuntimeError(f"the exported tensor '{name}' comes back with other values")


def plan_weights(
    lm: LoadedModel, family: Family, headers: Mapping[str, Mapping[str, Stored]], dtype: torch.dtype | None
) -> WeightLayout:
    """Return where each tensor of a model goes, and in which dtype.

    Args:
        lm: the model.
        family: whose names are written.
        headers: file -> name -> tensor of the source, whose names, files and dtypes are taken; empty without one.
        dtype: of all weights; None for the source's, else the model's.

    Returns:
        The layout.

    Raises:
        UserError: the model has a weight that the family has not, or the source has one of another shape.
    """
    state = {name: torch.empty_like(tensor, device="meta") for name, tensor in lm.stock.state_dict().items()}
    shapes = {name: tensor.shape for name, tensor in state.items()}
    stored = {name: one for header in headers.values() for name, one in header.items()}
    try:
        whole = family.rules.released(shapes)
    except KeyError as error:
        raise UserError(f"{family.title} has no weight {error}; train a checkpoint of that family") from error
    for name, one in stored.items():
        if family.rules.targets(name, shapes) is None or family.rules.read(name, state, shapes).shape != one.shape:
            raise UserError(
                f"the source has '{name}' of shape {tuple(one.shape)}, which this model has not; was the vocabulary "
                "changed? name a source of the same shape by like=…"
            )
    if not stored:
        is_tied = bool(lm.stock.config.get_text_config().tie_word_embeddings)
        # SGLang asks for the head of a tied SDAR too: its configuration then says that it is not tied.
        whole = [name for name in whole if not (is_tied and _is_head(family, name, shapes) and family.name != "sdar")]
    names = list(stored) or whole
    tensors = {name: family.rules.read(name, state, shapes) for name in names}
    of_source = {} if dtype else {name: DTYPES[one.dtype] for name, one in stored.items()}
    dtypes = {name: of_source.get(name) or dtype or tensor.dtype for name, tensor in tensors.items()}
    sizes = {name: tensor.numel() * dtypes[name].itemsize for name, tensor in tensors.items()}
    files = {name: file for file, header in headers.items() for name in header} or _shards(sizes)
    # dInfer opens an index of LLaDA2 whether or not there are several files.
    has_index = len(set(files.values())) > 1 or not stored or family.name == "llada2"
    return WeightLayout(family=family, files=files, dtypes=dtypes, sizes=sizes, has_index=has_index)


def _is_head(family: Family, name: str, shapes: Mapping[str, torch.Size]) -> bool:
    return any(target.name == "lm_head.weight" for target in family.rules.targets(name, shapes) or ())


def _shards(sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the file of each tensor, at most ``SHARD`` bytes a file unless one tensor is larger."""
    number, used, shard = 0, 0, dict[str, int]()
    for name, size in sizes.items():
        if used and used + size > SHARD:
            number, used = number + 1, 0
        shard[name], used = number, used + size
    if number == 0:
        return dict.fromkeys(sizes, "model.safetensors")
    return {name: f"model-{at + 1:05d}-of-{number + 1:05d}.safetensors" for name, at in shard.items()}
