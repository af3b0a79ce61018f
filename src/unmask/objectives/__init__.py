"""Training methods, one a file. Each answers: given clean text, what does the model read, what is each answer worth?"""

from unmask.objectives.base import OBJECTIVES, Composition, Hide, Scope, Weight, WeightedLikelihood, sized
from unmask.objectives.block_diffusion import BlockDiffusion
from unmask.objectives.blockwise import Blockwise
from unmask.objectives.cart import Cart
from unmask.objectives.complementary import Complementary
from unmask.objectives.fast_dllm_v2 import FastDllmV2
from unmask.objectives.gift import Gift
from unmask.objectives.lift import Lift
from unmask.objectives.masking import HIDES, WEIGHTS, Masking
from unmask.objectives.mixture import Mixture
from unmask.objectives.nbdiff import NBDiff
from unmask.objectives.papl import Papl
from unmask.objectives.remedi import Remedi
from unmask.objectives.sdlm import Sdlm
from unmask.objectives.soft_masked import SoftMasked
from unmask.objectives.vanilla import Vanilla
from unmask.objectives.wsd import Wsd

__all__ = [
    "HIDES",
    "OBJECTIVES",
    "WEIGHTS",
    "BlockDiffusion",
    "Blockwise",
    "Cart",
    "Complementary",
    "Composition",
    "FastDllmV2",
    "Gift",
    "Hide",
    "Lift",
    "Masking",
    "Mixture",
    "NBDiff",
    "Papl",
    "Remedi",
    "Scope",
    "Sdlm",
    "SoftMasked",
    "Vanilla",
    "Weight",
    "WeightedLikelihood",
    "Wsd",
    "sized",
]
