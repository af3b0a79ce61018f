"""Which layers of a model are attention, MLP, experts or router, under the names of dense models and of mixtures."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from torch import nn

from unmask.heads import HEADS_ATTRIBUTE
from unmask.runtime.transformers_api import StockModel

T = TypeVar("T")
GATES = ("gate", "router", "shared_expert_gate")  # beside ``experts``: what weighs them is a router
ORDER = ("attention", "MLP", "dense MLP", "shared MLP", "experts", "router", "other")


@dataclass(frozen=True, kw_only=True)
class LayerGroups:
    """The layers of a model that adapters could be put on, by name, each with its group.

    The groups are ``attention``, ``MLP`` (``dense MLP`` in a mixture of experts), ``shared MLP`` (experts that read
    every token), ``experts`` (of which a router chooses a few for each token), ``router``, ``LM head``, and ``other``:
    linear layers outside the stack of layers, such as the one before a masked language model's head.

    Args:
        linear: linear layers; without those of heads that a method has attached.
        stacked: weights with one matrix for each expert, [E, …, …].
        routers: modules that choose or weigh experts.
        router_weights: names of the weights inside the routers.
    """

    linear: dict[str, str] = field(default_factory=dict)
    stacked: dict[str, str] = field(default_factory=dict)
    routers: dict[str, nn.Module] = field(default_factory=dict)
    router_weights: tuple[str, ...] = ()

    @property
    def is_mixture(self) -> bool:
        """Whether the model is a mixture of experts."""
        return bool(self.routers)

    @property
    def present(self) -> list[str]:
        """Names of the groups that the model has, without the LM head and linear layers outside the stack of layers."""
        _, none = self.summary(())
        return none

    def named(self, group: str) -> set[str]:
        """Return the names of the linear layers and stacked weights of a group."""
        return {name for name, mine in {**self.linear, **self.stacked}.items() if mine == group}

    def summary(self, adapted: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return which groups have adapters, and which have none.

        Args:
            adapted: names of linear layers and stacked weights.

        Returns:
            Names of groups with adapters, with a count such as ``attention (2 of 8)`` where not all of the group has
            them, and names of groups without any; the LM head is among the first only.
        """
        touched, some, none = set(adapted), list[str](), list[str]()
        for group in (*ORDER, "LM head"):
            mine = self.named(group)
            count = len(mine & touched)
            if count:
                some.append(group if count == len(mine) else f"{group} ({count} of {len(mine)})")
            elif (mine or (group == "router" and self.routers)) and group not in ("other", "LM head"):
                none.append(group)
        return some, none


def layer_groups(model: StockModel) -> LayerGroups:
    """Return the groups of a model's layers; no weight is read.

    A module called ``experts`` holds experts, and ``gate``, ``router`` or ``shared_expert_gate`` beside it, or any
    class called a router, is a router. These are the names of all mixtures in transformers from 5.21 on.

    Args:
        model: of transformers, also on the meta device, and with PEFT's layers in it.

    Returns:
        The groups, under the names that layers have without PEFT's.
    """
    modules = dict(_without_wrappers(model.named_modules()))
    blocks = {name.rpartition(".")[0] for name in modules if name.rpartition(".")[2] == "experts"}
    routers = {name: module for name, module in modules.items() if _routes(name, module, blocks)}
    head = model.get_output_embeddings()
    in_head = set() if head is None else {id(module) for module in head.modules()}
    linear = {}
    for name, module in modules.items():
        if isinstance(module, nn.Linear):
            linear[name] = "LM head" if id(module) in in_head else _group(name, routers)
    weights = dict(_without_wrappers(model.named_parameters()))
    stacked = {name: "experts" for name, weight in weights.items() if weight.ndim == 3 and _in_experts(name)}
    inside = tuple(name for name in weights if _inside(name, routers))
    return LayerGroups(linear=linear, stacked=stacked, routers=routers, router_weights=inside)


def plain_name(name: str) -> str:
    """Return the name that a layer has without PEFT's wrappers around it."""
    return name.removeprefix("base_model.model.").replace(".base_layer", "")


def _without_wrappers(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Yield what is neither of a head nor an adapter's own, with its plain name; of wrappers the innermost."""
    for name, thing in named:
        if HEADS_ATTRIBUTE not in name and not any(part.startswith("lora_") for part in name.split(".")):
            yield plain_name(name), thing


def _routes(name: str, module: object, blocks: set[str]) -> bool:
    parent, _, last = name.rpartition(".")
    return (parent in blocks and last in GATES) or "router" in type(module).__name__.lower()


def _inside(name: str, modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _in_experts(name: str) -> bool:
    return "experts" in name.split(".")


def _group(name: str, routers: Iterable[str]) -> str:
    """Return the group of a linear layer that is not the LM head."""
    parts = name.split(".")
    if _inside(name, routers):
        return "router"
    if _in_experts(name):
        return "experts"
    if any(part.startswith("shared") for part in parts):
        return "shared MLP"
    if any("attn" in part.lower() or "attention" in part.lower() for part in parts):
        return "attention"
    if not any(part.isdigit() for part in parts):
        return "other"
    return "dense MLP" if routers else "MLP"
