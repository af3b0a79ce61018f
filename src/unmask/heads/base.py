"""What every head is: a module with a name, settings that are saved, and an optimiser group of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from unmask.config.registry import Registry

HEADS_ATTRIBUTE = "unmask_heads"
"""Name of the submodule of a transformers model that holds its heads, and so a part of the names of their weights."""


class Head(nn.Module):
    """A small module beside the LM head.

    Args:
        model: the transformers model that it is attached to.
        settings: by name, those of the head.
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
    def settings(self) -> Mapping[str, Any]:
        """What is needed to make it again: JSON types."""
        raise NotImplementedError


HEADS = Registry[Head]("head")


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the longest list of modules with a forward: the transformer layers, whatever a model calls them.

    Raises:
        TypeError: the model has no such list.
    """
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) and hasattr(m[0], "forward")]
    if not lists:
        raise TypeError(f"{type(model).__name__} has no list of layers to tap")
    return max(lists, key=len)
