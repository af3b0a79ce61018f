"""Constraints on the text that is written."""

from unmask.decoding.constraint.automaton import Automaton
from unmask.decoding.constraint.compose import compose
from unmask.decoding.constraint.parts import JsonSchema, Regex

__all__ = ["Automaton", "JsonSchema", "Regex", "compose"]
