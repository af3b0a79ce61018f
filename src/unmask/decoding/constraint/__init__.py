"""Constraints on the text that is written."""

from unmask.decoding.constraint.automaton import Automaton
from unmask.decoding.constraint.compose import compose

__all__ = ["Automaton", "compose"]
