"""Low-rank adapters (LoRA, arXiv 2106.09685) on the layers that are named, and training of the mask token's row."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from unmask.config.components import component
from unmask.errors import UserError, did_you_mean
from unmask.heads import HEADS_ATTRIBUTE
from unmask.models.facts import AdapterBase
from unmask.models.fingerprint import fingerprint
from unmask.models.loaded import LoadedModel
from unmask.runtime.transformers_api import StockModel

NOWHERE = ("", "from_scratch")


@component
class LoraSpec:
    """Settings of LoRA adapters.

    Args:
        rank: of each update.
        alpha: the update is scaled by alpha / rank; twice the rank unless given.
        dropout: of the adapters' inputs.
        targets: names of linear layers, whole or their ends (``q_proj``); ``all-linear`` is all but the LM head.
        train_mask_row: whether the embedding of the mask token is trained too; a new one needs it.
        seed: of the adapters' initial weights.
    """

    rank: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    train_mask_row: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UserError(f"lora.rank must be at least 1, found {self.rank}")
        if not 0.0 <= self.dropout < 1.0:
            raise UserError(f"lora.dropout must be in [0, 1), found {self.dropout}")
        if isinstance(self.targets, str) and self.targets != "all-linear":
            raise UserError(f"lora.targets must be 'all-linear' or a list of names, found {self.targets!r}")
        if not self.targets:
            raise UserError("lora.targets must name at least one layer, found none; write 'all-linear' for all")


def add_lora(lm: LoadedModel, spec: LoraSpec) -> LoadedModel:
    """Put adapters on a model and freeze all other weights. The model is wrapped in place.

    Args:
        lm: a model that was loaded, so that its adapter can find it again.
        spec: which layers, how large.

    Returns:
        The model in PEFT's wrapper.

    Raises:
        UserError: the model has adapters, was never saved, or has no such layers.
        RuntimeError: PEFT adapted other layers than those of ``spec``.
    """
    from peft import LoraConfig, get_peft_model

    if lm.adapter is not None:
        raise UserError(f"'{lm.source}' already has adapters; merge them first, or train them on")
    if lm.source in NOWHERE:
        raise UserError(
            "LoRA needs a base that can be loaded again, but this one was never saved; save and load it first"
        )
    targets = resolve_targets(lm.model, spec.targets)
    wanted = _layers(lm.model, targets)
    adapter = AdapterBase(source=lm.source, fingerprint=fingerprint(lm), dtype=str(_dtype(lm)).removeprefix("torch."))
    lm.model.name_or_path = lm.source  # PEFT would write the folder that transformers read
    alpha: Any = 2 * spec.rank if spec.alpha is None else spec.alpha  # PEFT says int, and takes any number
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=alpha,
        lora_dropout=spec.dropout,
        target_modules=list(targets),
        # Training the whole embedding would untie the head; PEFT keeps the tie for single rows.
        trainable_token_indices=[lm.mask_id] if spec.train_mask_row else None,
        exclude_modules=rf".*\b{HEADS_ATTRIBUTE}\b.*" if lm.heads else None,
        task_type="CAUSAL_LM" if hasattr(lm.model, "prepare_inputs_for_generation") else None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(spec.seed)
        model: Any = get_peft_model(cast("Any", lm.model), config)  # adapters are float32, whatever the base is
    touched = {name.removeprefix("base_model.model.") for name in adapted_layers(model)}
    if touched != wanted:
        raise RuntimeError(f"PEFT adapted other layers than asked: {sorted(touched ^ wanted)}")
    model.eval()
    return replace(lm, model=model, adapter=adapter)


def merge(lm: LoadedModel) -> LoadedModel:
    """Add the adapters to the weights they adapt, in place.

    Args:
        lm: a model with adapters.

    Returns:
        A plain transformers model, all of whose weights can be trained.

    Raises:
        UserError: it has no adapters.
    """
    if lm.adapter is None:
        raise UserError(f"'{lm.source}' has no adapters to merge; it is a whole model already")
    model: Any = lm.model
    merged = model.merge_and_unload()
    for weight in merged.parameters():
        weight.requires_grad_(True)
    merged.tie_weights()
    return replace(lm, model=merged.eval(), adapter=None)


def adapted_layers(model: nn.Module) -> list[str]:
    """Return the names of the layers of a PEFT model that have adapters."""
    from peft.tuners.lora import LoraLayer

    return [name for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def _dtype(lm: LoadedModel) -> torch.dtype:
    return next(lm.model.parameters()).dtype


def _linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    found = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return {name: module for name, module in found.items() if HEADS_ATTRIBUTE not in name}


def _layers(model: nn.Module, targets: Sequence[str]) -> set[str]:
    """Return the names of the linear layers that the targets match, as PEFT matches them."""
    return {name for name in _linear_layers(model) if any(_means(target, name) for target in targets)}


def _means(target: str, name: str) -> bool:
    return name == target or name.endswith(f".{target}")


def resolve_targets(model: StockModel, targets: str | Sequence[str]) -> tuple[str, ...]:
    """Return names, or ends of names, that each match a linear layer.

    Args:
        model: whose layers are looked up.
        targets: names, or ``all-linear``, which leaves out the LM head.

    Returns:
        The names.

    Raises:
        UserError: a name matches no linear layer, or a head that is tied to the embedding.
    """
    layers = _linear_layers(model)
    head = {name for name, module in layers.items() if module is model.get_output_embeddings()}
    parts = sorted({name.rpartition(".")[2] for name in layers if name not in head})
    if isinstance(targets, str):
        return tuple(parts)
    for target in targets:
        meant = {name for name in layers if _means(target, name)}
        if not meant:
            known = sorted({*parts, *head})
            raise UserError(
                f"lora.targets names '{target}', which is no linear layer of this model; {did_you_mean(target, known)}"
                f" (all: {', '.join(known)})"
            )
        if meant & head and model.config.get_text_config().tie_word_embeddings:
            raise UserError(f"lora.targets names '{target}', which is tied to the embedding: an adapter would untie it")
    return tuple(targets)
