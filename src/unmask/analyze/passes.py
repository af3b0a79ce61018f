"""How a study goes through the examples."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from unmask.core.batch import Batch
from unmask.data import Collator, Encoded
from unmask.models import LoadedModel


def batches(
    examples: Sequence[Encoded], collator: Collator, batch_size: int, *, first_order: int = 0
) -> Iterator[Batch]:
    """Lay all examples out, the shortest first so that few columns are padding.

    Args:
        examples: example i gets ``first_order`` + i as its place in the global order, the key of its noise.
        collator: lays them out.
        batch_size: rows of a batch.
        first_order: see above.
    """
    lengths = [(len(example.prompt) + len(example.answer), index) for index, example in enumerate(examples)]
    queue = [index for _, index in sorted(lengths)]
    for begin in range(0, len(queue), batch_size):
        chosen = queue[begin : begin + batch_size]
        yield collator([{**vars(examples[index]), "order": first_order + index} for index in chosen])


@contextmanager
def in_evaluation(lm: LoadedModel) -> Iterator[None]:
    """Switch dropout off for a while."""
    was_training = lm.model.training
    lm.model.eval()
    try:
        yield
    finally:
        lm.model.train(was_training)
