"""What a text must be: regular expressions and JSON schemas, as automata that read tokens in any order."""

from unmask.config.registry import lazy
from unmask.constraints.automaton import Automaton
from unmask.constraints.compose import compose

__getattr__, __dir__ = lazy(__name__)
__all__ = ["Automaton", "compose"]
