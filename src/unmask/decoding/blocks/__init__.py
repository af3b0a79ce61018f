"""Block rules: which part of the canvas is in play."""

from unmask.decoding.blocks.adablock import AdaBlock
from unmask.decoding.blocks.plain import Fixed, Whole
from unmask.decoding.blocks.sliding import Sliding
from unmask.decoding.blocks.swordsman import Swordsman

__all__ = ["AdaBlock", "Fixed", "Sliding", "Swordsman", "Whole"]
