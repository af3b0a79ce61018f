"""Low-rank adapters (LoRA, arXiv 2106.09685) on the layers that are named, and training of the mask token's row."""

from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from unmask.config.components import component
from unmask.errors import UserError
from unmask.heads import HEADS_ATTRIBUTE
from unmask.models.adapter import unsurprised
from unmask.models.facts import AdapterBase
from unmask.models.fingerprint import fingerprint
from unmask.models.layer_groups import layer_groups, plain_name
from unmask.models.loaded import LoadedModel
from unmask.models.lora_targets import SPELLINGS, adapters_remark, resolve_targets

NOWHERE = ("", "from_scratch")


@component
class LoraSpec:
    """Settings of LoRA adapters.

    Args:
        rank: of each update.
        alpha: the update is scaled by alpha / rank; twice the rank unless given.
        dropout: of the adapters' inputs; must be 0 for experts, and for the MLP layers of a mixture of experts.
        targets: names of linear layers, whole or their ends (``q_proj``), or of groups: ``all-linear`` is all of them
            but the LM head and, in a mixture of experts, the routed experts and the router; ``attention`` is those of
            the attention; ``experts`` is the routed experts.
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
        if isinstance(self.targets, str) and self.targets not in SPELLINGS:
            raise UserError(
                f"lora.targets must be 'attention', 'experts', 'all-linear' or a list of names, found {self.targets!r}"
            )
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
        UserError: the model has adapters, was never saved, or has no such layers, or they are routers.
        RuntimeError: PEFT adapted other layers than those of ``spec``.
    """
    from peft import LoraConfig, get_peft_model

    if lm.adapter is not None:
        raise UserError(f"'{lm.source}' already has adapters; merge them first, or train them on")
    if lm.source in NOWHERE:
        raise UserError(
            "LoRA needs a base that can be loaded again, but this one was never saved; save and load it first"
        )
    targets = resolve_targets(lm.model, spec.targets, dropout=spec.dropout)
    adapter = AdapterBase(source=lm.source, fingerprint=fingerprint(lm), dtype=str(_dtype(lm)).removeprefix("torch."))
    lm.model.name_or_path = lm.source  # PEFT would write the folder that transformers read
    alpha: Any = 2 * spec.rank if spec.alpha is None else spec.alpha  # PEFT says int, and takes any number
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=alpha,
        lora_dropout=spec.dropout,
        target_modules=list(targets.modules),
        target_parameters=list(targets.parameters) or None,
        # Training the whole embedding would untie the head; PEFT keeps the tie for single rows.
        trainable_token_indices=[lm.mask_id] if spec.train_mask_row else None,
        exclude_modules=rf".*\b{HEADS_ATTRIBUTE}\b.*" if lm.heads else None,
        task_type="CAUSAL_LM" if hasattr(lm.model, "prepare_inputs_for_generation") else None,
    )
    with torch.random.fork_rng(devices=[]), unsurprised():
        torch.default_generator.manual_seed(spec.seed)
        model: Any = get_peft_model(cast("Any", lm.model), config)  # adapters are float32, whatever the base is
    if (touched := adapted_weights(model)) != targets.layers:
        raise RuntimeError(f"PEFT adapted other layers than asked: {sorted(touched ^ targets.layers)}")
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


def adapted_weights(model: nn.Module) -> set[str]:
    """Return what the adapters of a PEFT model are on: names of linear layers, and of weights that stack experts.

    Args:
        model: in PEFT's wrapper.

    Returns:
        Names as the model has them without PEFT; a linear layer's has no ``.weight`` at its end.
    """
    from peft.tuners.lora.layer import LoraLayer, ParamWrapper

    found = set()
    for name, module in model.named_modules():
        if isinstance(module, ParamWrapper):
            found.add(f"{plain_name(name)}.{module.parameter_name}".removesuffix(".weight"))
        elif isinstance(module, LoraLayer):
            found.add(plain_name(name))
    return found


def training_remark(lm: LoadedModel) -> str | None:
    """Return a line on what is trained of a model with adapters or of a mixture of experts.

    Args:
        lm: before its training.

    Returns:
        One line such as ``LoRA on attention, shared MLP and the mask token's row; frozen: experts, router``; None
        where all weights of a dense model are trained.
    """
    groups = layer_groups(lm.stock)
    if lm.adapter is not None:
        rows = any("trainable_tokens" in name for name, weight in lm.model.named_parameters() if weight.requires_grad)
        return adapters_remark(groups, adapted_weights(lm.model), mask_row=rows)
    if not groups.is_mixture:
        return None
    return f"all weights are trained: {', '.join(groups.present)}"


def _dtype(lm: LoadedModel) -> torch.dtype:
    return next(lm.model.parameters()).dtype
