"""The environment of a measurement: versions of packages, and the machine."""

import os
import platform
from importlib import import_module, metadata
from typing import Any

import torch

from unmask.config.plugins import plugin_versions

PACKAGES = ("torch", "transformers", "accelerate", "peft", "tokenizers")


def cores() -> int:
    """Return how many processor cores this process may use; all of the machine where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Return the versions of Python, unmask, the packages that numbers depend on, and plugins, by name.

    unmask itself need not be installed, only importable.
    """
    own = import_module("unmask").__version__
    packages = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "unmask": own, **packages, **plugin_versions()}


def hardware(device: torch.device | str) -> dict[str, Any]:
    """Return a description of the machine and of the device of the weights, as JSON types."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": device.type,
        "name": name,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
