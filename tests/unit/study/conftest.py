"""A small study for all tests of this folder."""

import copy

import pytest

VALUES = {
    "question": "does it run?",
    "base": {"path": "asset:quickstart/model"},
    "recipe": {
        "data": {"task": {"name": "sorting"}, "size": 200, "canvas": 28},
        "decoder": {"block_size": 7},
        "run": {"steps": 4, "batch_size": 4, "schedule": "constant", "save_every": 2},
    },
    "arms": {"vanilla": {"objective": "vanilla"}, "blockwise": {"objective": {"name": "blockwise", "block_size": 7}}},
    "evaluate": {
        "task": {"name": "sorting"},
        "problems": 6,
        "validation": 3,
        "max_new_tokens": 28,
        "every": 2,
        "decoder": {"block_size": 7, "steps": 4},
    },
    "seeds": [0, 1],
}


@pytest.fixture
def values():
    return copy.deepcopy(VALUES)
