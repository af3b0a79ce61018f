"""Configuration is the objects themselves: dataclasses that YAML fills, and components by their names."""

from unmask.config.components import component

__all__ = ["component"]
