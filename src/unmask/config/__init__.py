"""Configuration is the objects themselves: dataclasses that YAML fills, and components by the names that recipes use."""

from unmask.config.components import component

__all__ = ["component"]
