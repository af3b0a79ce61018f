"""A device that is not there: real numbers behind tensors that say they are elsewhere, and refuse to meet the CPU's.

What CUDA would refuse in the middle of a run shows up here without a GPU: an operator that is given tensors of both
devices, and ``numpy()`` of a tensor that was not fetched. What depends on kernels (rounding, order of sums, operators
that a device lacks) does not. ``meta`` is the name because torch initialises nothing for it; values, and so control
flow that depends on them, are the CPU's.
"""

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as trees
from torch.utils._python_dispatch import TorchDispatchMode

FAR = "meta"
_aten = torch.ops.aten
_MOVES = {_aten.copy_.default, _aten._to_copy.default}
_INDEXES = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}


class Far(torch.Tensor):
    """A tensor elsewhere."""

    @staticmethod
    def __new__(cls, here):
        return torch.Tensor._make_wrapper_subclass(
            cls, here.size(), strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device=FAR
        )

    def __init__(self, here):
        self.here = here

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        return _run(operator, args, kwargs or {})

    def tolist(self):
        return self.cpu().tolist()

    def __repr__(self):
        return f"Far({self.here})"


class _Literals(TorchFunctionMode):
    """Tensors that are made of Python's numbers, which no operator does."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in (torch.tensor, torch.as_tensor) or kwargs.get("device") is None:
            return function(*args, **kwargs)
        return function(*args, **{**kwargs, "device": None}).to(kwargs["device"])


class _Factories(TorchDispatchMode):
    """Tensors that operators make on the device."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if torch.is_inference_mode_enabled():  # composite operators arrive whole there
            with self:
                made = operator.decompose(*args, **(kwargs or {}))
            if made is not NotImplemented:
                return made
        return _run(operator, args, kwargs or {})


@contextmanager
def far_device():
    """Within this, ``device=FAR`` and ``.to(FAR)`` lead elsewhere."""
    with _Factories(), _Literals():
        yield


def _run(operator, args, kwargs):
    tensors = [leaf for leaf in trees.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    far = [t for t in tensors if isinstance(t, Far)]
    near = [t for t in tensors if not isinstance(t, Far) and t.dim()]  # single numbers may come from the CPU
    is_index = operator in _INDEXES and isinstance(args[0], Far)  # and so may the places that are looked up
    if far and near and operator not in _MOVES and not is_index:
        shapes = [(type(t).__name__, tuple(t.shape)) for t in tensors]
        raise RuntimeError(f"{operator}: expected all tensors on one device, found {shapes}")
    device = kwargs.get("device")
    leads_far = bool(far) if device is None else torch.device(device).type == FAR
    if device is not None:
        kwargs = {**kwargs, "device": "cpu"}
    args, kwargs = trees.tree_map(lambda x: x.here if isinstance(x, Far) else x, (args, kwargs))
    known = {id(t.here): t for t in far}  # what is written in place is itself

    def placed(value):
        if not isinstance(value, torch.Tensor) or isinstance(value, Far) or not leads_far:
            return value
        return known[id(value)] if id(value) in known else Far(value)

    return trees.tree_map(placed, operator(*args, **kwargs))
