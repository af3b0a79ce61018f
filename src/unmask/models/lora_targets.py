"""What the names in ``lora.targets`` mean on a model, dense or a mixture of experts, and how PEFT is told of them."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from unmask.errors import UserError, did_you_mean
from unmask.heads import HEADS_ATTRIBUTE
from unmask.models.layer_groups import LayerGroups, layer_groups
from unmask.runtime.transformers_api import StockModel

SPELLINGS = ("all-linear", "attention", "experts")
"""Names of groups, the same on every model."""

_REWRITTEN = ("gate_proj", "up_proj", "down_proj", "w1", "w2", "w3", "gate")
"""Ends of names that PEFT 0.21, unlike 0.18, moves to the stacked experts of a mixture, whatever stands before them."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Which layers get adapters.

    Args:
        layers: names of linear layers, and of weights that stack experts.
        modules: PEFT's ``target_modules``: names, or ends of names, of linear layers.
        parameters: PEFT's ``target_parameters``: names, or ends of names, of weights.
        groups: of the model.
    """

    layers: frozenset[str]
    modules: tuple[str, ...]
    parameters: tuple[str, ...]
    groups: LayerGroups


def resolve_targets(model: StockModel, targets: str | Sequence[str], *, dropout: float = 0.0) -> Targets:
    """Return the layers that names mean, and the names by which PEFT adapts these and no others.

    PEFT sends ``gate_proj``, ``up_proj`` and ``down_proj`` of a mixture with stacked experts to these experts. The
    dense and shared layers of these names are therefore adapted as parameters, which PEFT's versions all treat alike.

    Args:
        model: whose layers are looked up; it may be on the meta device.
        targets: names of layers or their ends, or of groups.
        dropout: of the adapters.

    Returns:
        The layers.

    Raises:
        UserError: a name matches nothing, or what cannot or shall not be adapted; adapters on parameters with dropout.
    """
    groups = layer_groups(model)
    listed = (targets,) if isinstance(targets, str) else tuple(targets)
    head_is_tied = bool(model.config.get_text_config().tie_word_embeddings)
    layers = frozenset[str]().union(*(_meant(groups, target, head_is_tied) for target in listed))
    by_weight = {name for name in layers if name not in groups.stacked and groups.stacked and _end(name) in _REWRITTEN}
    by_module = layers - by_weight - groups.stacked.keys()
    weights = {f"{name}.weight" for name in by_weight} | (layers & groups.stacked.keys())
    modules = [name for name, _ in model.named_modules() if HEADS_ATTRIBUTE not in name]
    parameters = [name for name, _ in model.named_parameters()]
    if weights and dropout:
        kinds = " and ".join(sorted({groups.stacked.get(name) or groups.linear[name] for name in layers - by_module}))
        raise UserError(
            f"lora.dropout must be 0 for {kinds} of a mixture of experts, which PEFT adapts without it, found "
            f"{dropout:g}; write dropout: 0, or targets: attention"
        )

    def as_written(name: str) -> str:
        return next((end for end in listed if _matches(end, name)), name)

    return Targets(
        layers=layers,
        groups=groups,
        modules=_short(by_module, modules, as_written, _end, _after_number),
        parameters=_short(weights, parameters, _after_number),
    )


def adapters_remark(groups: LayerGroups, adapted: Iterable[str], *, mask_row: bool) -> str:
    """Return a line on what adapters are on, and what stays frozen.

    Args:
        groups: of the model.
        adapted: names of linear layers, and of weights that stack experts.
        mask_row: whether the mask token's row is trained.

    Returns:
        One line, such as ``LoRA on attention, shared MLP and the mask token's row; frozen: experts, router``.
    """
    some, none = groups.summary(adapted)
    trained = f"LoRA on {', '.join(some)}" + (" and the mask token's row" if mask_row else "")
    return f"{trained}; frozen: {', '.join(none)}" if none else trained


def _meant(groups: LayerGroups, target: str, head_is_tied: bool) -> set[str]:
    """Return the layers that one name means."""
    if target == "all-linear":
        kept = ("LM head", "experts", "router")
        found = {name for name, group in groups.linear.items() if group not in kept}
    elif target in SPELLINGS:
        found = groups.named(target)
    else:
        return _named(groups, target, head_is_tied)
    if not found:
        kinds = {"experts": "routed experts", "attention": "linear layers in its attention"}
        lacking = kinds.get(target, "linear layers beside the LM head")
        raise UserError(f"lora.targets names '{target}', but this model has no {lacking}; name layers that it has")
    return found


def _named(groups: LayerGroups, target: str, head_is_tied: bool) -> set[str]:
    """Return the linear layers that a name, or the end of one, means; never routed experts or a router."""
    named = {name for name in groups.linear if _matches(target, name)}
    routers = {*groups.routers, *groups.router_weights, *groups.named("router")}
    if (groups.is_mixture and target == "router") or any(_matches(target, name) for name in routers):
        raise UserError(
            f"lora.targets names '{target}', which is a router: it stays as it is, for a router that learns sends "
            "tokens to experts that were not trained on them; leave it out"
        )
    experts = groups.named("experts")
    found = named - experts
    if not found and groups.is_mixture and (named or _is_of_experts(groups, target)):
        raise UserError(
            f"lora.targets names '{target}', which this model has in its routed experts only; write 'experts' for "
            "them, or leave it out"
        )
    head = groups.named("LM head")
    if not found:
        known = sorted({*(_end(name) for name in groups.linear.keys() - head - routers - experts), *head})
        raise UserError(
            f"lora.targets names '{target}', which is no linear layer of this model; {did_you_mean(target, known)}"
            f" (all: {', '.join(known)})"
        )
    if found & head and head_is_tied:
        raise UserError(f"lora.targets names '{target}', which is tied to the embedding: an adapter would untie it")
    return found


def _is_of_experts(groups: LayerGroups, target: str) -> bool:
    """Return whether a name means something of the stacked experts, here or in released checkpoints."""
    stacked = groups.stacked.keys()
    named = {*stacked, *(name.rpartition(".")[0] for name in stacked)}
    return _end(target) in _REWRITTEN or any(_matches(target, name) for name in named)


def _short(wanted: Collection[str], known: Sequence[str], *first: Callable[[str], str]) -> tuple[str, ...]:
    """Return names, or ends of names, that match all that is wanted and nothing else that is known.

    Args:
        wanted: full names.
        known: all names that PEFT looks at.
        *first: functions that shorten a name, tried in turn; where the result matches more, the full name stays.

    Returns:
        The ends, sorted.
    """
    left, chosen = set(wanted), list[str]()
    for name in sorted(wanted):
        if name not in left:
            continue
        for end in (*(shorten(name) for shorten in first), name):
            matched = {other for other in known if _matches(end, other)}
            if matched <= set(wanted):
                left -= matched
                chosen.append(end)
                break
    return tuple(sorted(chosen))


def _after_number(name: str) -> str:
    parts = name.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[numbers[-1] + 1 :]) if numbers else name


def _matches(end: str, name: str) -> bool:
    """Return whether a name is the one given or ends with it, as PEFT compares them."""
    return name == end or name.endswith(f".{end}")


def _end(name: str) -> str:
    return name.rpartition(".")[2]
