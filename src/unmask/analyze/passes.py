"""The order in which a study reads the examples, and the model's mode while it does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from unmask.core.batch import Batch
from unmask.data import Collator, Encoded
from unmask.models import LoadedModel


def batches(
    examples: Sequence[Encoded], collator: Collator, batch_size: int, *, first_order: int = 0
) -> Iterator[Batch]:
    """Lay all examples out in rows, the shortest first so that few columns are padding.

    Args:
        examples: example i gets ``first_order`` + i as its index in the global order, the key of its noise.
        collator: lays them out in rows.
        batch_size: rows of a batch.
        first_order: index of the first example in the global order.

    Yields:
        Batches of at most ``batch_size`` rows.
    """
    lengths = [(len(example.prompt) + len(example.answer), index) for index, example in enumerate(examples)]
    queue = [index for _, index in sorted(lengths)]
    for begin in range(0, len(queue), batch_size):
        chosen = queue[begin : begin + batch_size]
        yield collator([{**vars(examples[index]), "order": first_order + index} for index in chosen])


@contextmanager
def in_evaluation(lm: LoadedModel) -> Iterator[None]:
    """Switch dropout off within the context, and restore the model's training mode after it."""
    was_training = lm.model.training
    lm.model.eval()
    try:
        yield
    finally:
        lm.model.train(was_training)
