# Written by make index.

from unmask.constraints.automaton import Automaton as Automaton
from unmask.constraints.components import JsonSchema as JsonSchema
from unmask.constraints.components import Regex as Regex
from unmask.constraints.compose import compose as compose
