"""Checks for components of one's own, and the toy models that they run on.

Each check is a function that takes a component and raises an ``AssertionError`` that describes what is wrong: call it
from any test framework. The components that ship with unmask are held to the same checks.
"""

from unmask.models.families.contract import check_family
from unmask.testing.decoding import DECODER_CHECKS, check_component, check_decoder, check_selection
from unmask.testing.objectives import OBJECTIVE_CHECKS, check_objective
from unmask.testing.tasks import check_task

__all__ = [
    "DECODER_CHECKS",
    "OBJECTIVE_CHECKS",
    "check_component",
    "check_decoder",
    "check_family",
    "check_objective",
    "check_selection",
    "check_task",
]
