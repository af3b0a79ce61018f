"""Block rules: which part of the canvas is in play."""

from unmask.decoding.blocks.adablock import AdaBlock
from unmask.decoding.blocks.sliding import Sliding
from unmask.decoding.blocks.swordsman import Swordsman
from unmask.decoding.blocks.whole import Whole
from unmask.decoding.defaults import Fixed

__all__ = ["AdaBlock", "Fixed", "Sliding", "Swordsman", "Whole"]
