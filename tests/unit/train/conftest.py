import random

import pytest

from unmask.data import Encoded
from unmask.models import ScratchSpec, from_scratch


@pytest.fixture
def tiny():
    """A fresh 2-layer model; always the same weights."""
    return lambda: from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, seed=1))


@pytest.fixture(scope="session")
def sorting():
    """Examples of sorting digits, of uneven lengths."""
    tokenizer = from_scratch(ScratchSpec(hidden_size=8, layers=1, heads=1)).tokenizer
    rng = random.Random(0)
    examples = []
    for i in range(40):
        digits = [str(rng.randrange(10)) for _ in range(rng.randint(2, 7))]
        examples.append(
            Encoded(
                prompt=tokenizer.encode("".join(digits) + "="),
                answer=[*tokenizer.encode("".join(sorted(digits))), tokenizer.eos_token_id],
                source=f"row {i}",
            )
        )
    return examples
