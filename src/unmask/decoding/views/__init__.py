"""Views: what the model reads of a state."""

from unmask.decoding.defaults import CanvasView
from unmask.decoding.views.anchored import AnchoredView
from unmask.decoding.views.guidance import Guidance
from unmask.decoding.views.reordered import Reordered
from unmask.decoding.views.shadow import ShadowView
from unmask.decoding.views.soft_mask import SoftMaskView

__all__ = ["AnchoredView", "CanvasView", "Guidance", "Reordered", "ShadowView", "SoftMaskView"]
