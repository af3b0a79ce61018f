# Written by make index.

from unmask.objectives.base import OBJECTIVES as OBJECTIVES
from unmask.objectives.base import WeightedLikelihood as WeightedLikelihood
from unmask.objectives.block_diffusion import BlockDiffusion as BlockDiffusion
from unmask.objectives.blockwise import Blockwise as Blockwise
from unmask.objectives.cart import Cart as Cart
from unmask.objectives.complementary import Complementary as Complementary
from unmask.objectives.fast_dllm_v2 import FastDllmV2 as FastDllmV2
from unmask.objectives.gift import Gift as Gift
from unmask.objectives.lift import Lift as Lift
from unmask.objectives.masking import Masking as Masking
from unmask.objectives.mixture import Mixture as Mixture
from unmask.objectives.nbdiff import NBDiff as NBDiff
from unmask.objectives.papl import Papl as Papl
from unmask.objectives.remedi import Remedi as Remedi
from unmask.objectives.sdlm import Sdlm as Sdlm
from unmask.objectives.soft_masked import SoftMasked as SoftMasked
from unmask.objectives.vanilla import Vanilla as Vanilla
from unmask.objectives.wsd import Wsd as Wsd
