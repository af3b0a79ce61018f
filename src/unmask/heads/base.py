"""What every head is: a module with a name, settings that are saved, and an optimiser group of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import nn

from unmask.registry import Registry


@runtime_checkable
class Head(Protocol):
    """A small ``torch.nn.Module`` beside the LM head.

    Its constructor takes the transformers model that it is attached to, and its settings by name.
    """

    name: ClassVar[str]
    free: ClassVar[tuple[str, ...]]
    """Settings that only matter at the start or while training: a second training may choose others."""
    lr: float
    """Peak learning rate of its parameters; no weight decay."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is needed to make it again: JSON types."""
        ...


HEADS = Registry[Head]("head")


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Find the list of transformer layers of a model, whatever it is called."""
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) and hasattr(m[0], "forward")]
    if not lists:
        raise TypeError(f"{type(model).__name__} has no list of layers to tap")
    return max(lists, key=len)
