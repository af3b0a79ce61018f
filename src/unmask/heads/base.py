"""What every head is: a module with a name, settings that are saved, and an optimiser group of its own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from unmask.config.registry import Registry

HEADS_ATTRIBUTE = "unmask_heads"
"""Name of the submodule of a transformers model that holds its heads; the names of their weights begin with it."""


class Head(nn.Module, ABC):
    """A small module beside the LM head.

    Args:
        model: the transformers model that it is attached to.
        **settings: those of the head, by name.
    """

    name: ClassVar[str]
    free: ClassVar[tuple[str, ...]] = ()
    """Settings that only matter at the start or while training: a second training may choose others."""
    lr: float
    """Peak learning rate of its parameters; no weight decay."""

    def __init__(self, model: nn.Module, **settings: Any) -> None:
        super().__init__()
        del model, settings

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Settings that are needed to make the head again, by name; JSON types."""
        ...


HEADS = Registry[Head]("head")


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the longest list of modules with a forward: the transformer layers, whatever a model calls them.

    Args:
        model: the transformers model.

    Returns:
        The layers, in their order.

    Raises:
        TypeError: the model has no such list.
    """
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) and hasattr(m[0], "forward")]
    if not lists:
        raise TypeError(f"{type(model).__name__} has no list of layers to tap")
    return max(lists, key=len)
