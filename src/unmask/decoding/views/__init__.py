"""Views: what the model reads of a state."""

from unmask.decoding.views.canvas import CanvasView
from unmask.decoding.views.guidance import Guidance
from unmask.decoding.views.soft_mask import SoftMaskView

__all__ = ["CanvasView", "Guidance", "SoftMaskView"]
