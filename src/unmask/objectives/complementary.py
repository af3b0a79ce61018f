"""Complementary views: what one view hides the other shows, so that every response token is supervised."""

from unmask.canvas import Batch
from unmask.config import part
from unmask.errors import UserError
from unmask.objectives.around import Around
from unmask.objectives.base import OBJECTIVES
from unmask.objectives.masking import Hidden, Masking
from unmask.objectives.region import Region, half
from unmask.objectives.stack import stack
from unmask.seeds import Draws
from unmask.types import Denoiser, Noised


@OBJECTIVES.register("complementary")
@part
class Complementary(Around):
    """Train on two views of each example: the inner method's m at rate t, and the rest of its region at 1 - t.

    Used by LaViDa (arXiv 2505.16839), Fast-dLLM v2 (2509.26328) and LLaDA2.0 (2512.15745). The two sets are disjoint
    and together make up the response (or the active block of ``blockwise``): every token is supervised exactly once.
    The second view's tokens weigh as the inner method would at t' = max(1 - t, eps). The loss is the mean of both
    views.

    Args:
        inner: the method that chooses the first view; any that hides tokens in place or in two streams.

    Differs from the paper: LIFT's complementary option adds the second view to an unchanged denominator, which doubles
    the loss; here the views share it.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method.asks_more:
            raise UserError(
                f"inner: {self.method.name} asks more than what it hides, which two views would lose; "
                "write it without complementary"
            )
        if self.method.selects_late:
            raise UserError(
                "inner: lift with approximate: true hides more than it supervises, so no second view complements it; "
                "leave approximate out"
            )

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Ask about both views of every region."""
        regions = self.method.regions(batch, draws=draws, progress=progress)
        return stack(both_views(self.method, regions, model=model, draws=draws))


def both_views(method: Masking, regions: list[Region], *, model: Denoiser, draws: Draws) -> list[Noised]:
    """Ask a method about what it hides, and about the rest of each region."""
    questions = []
    for region in map(half, regions):
        first = method.hide(region, model=model, draws=draws)
        t = (1 - first.level).clamp(min=method.least_level)
        rest = Hidden(is_asked=region.is_response & ~first.is_asked, level=t)
        questions += [method.ask(region, view, model=model) for view in (first, rest)]
    return questions
