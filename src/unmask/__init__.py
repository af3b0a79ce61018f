"""Fine-tune, decode and study masked diffusion language models, block by block.

>>> import unmask
>>> unmask.__version__
'0.1.0'
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unmask.config.defaults import Layout
    from unmask.decoding import Decoder
    from unmask.errors import UserError
    from unmask.evaluate import evaluate
    from unmask.generate import generate, generate_file, infill, stream
    from unmask.models import add_lora, from_scratch, load
    from unmask.models.hub import push_to_hub
    from unmask.recipes.check import check
    from unmask.recipes.run import sft
    from unmask.train import TrainRun, train

_HOMES = {
    "Decoder": "unmask.decoding",
    "Layout": "unmask.config.defaults",
    "TrainRun": "unmask.train",
    "UserError": "unmask.errors",
    "add_lora": "unmask.models",
    "check": "unmask.recipes.check",
    "evaluate": "unmask.evaluate",
    "from_scratch": "unmask.models",
    "generate": "unmask.generate",
    "generate_file": "unmask.generate",
    "infill": "unmask.generate",
    "load": "unmask.models",
    "push_to_hub": "unmask.models.hub",
    "sft": "unmask.recipes.run",
    "stream": "unmask.generate",
    "train": "unmask.train",
}
__all__ = [
    "Decoder",
    "Layout",
    "TrainRun",
    "UserError",
    "add_lora",
    "check",
    "evaluate",
    "from_scratch",
    "generate",
    "generate_file",
    "infill",
    "load",
    "push_to_hub",
    "sft",
    "stream",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: ``import unmask`` and ``unmask --help`` stay quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'unmask' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """The package, whose public functions stay in place when a module of the same name is imported.

    Python makes an imported module an attribute of its package: ``unmask.generate`` would become the module.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
