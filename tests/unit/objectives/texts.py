"""Texts, recorded draws and small models for the tests of objectives."""

import torch

from toys import Hash
from unmask.core.batch import Example, lay_out
from unmask.core.query import Query
from unmask.core.random import Draws, RecordedDraws
from unmask.models import ScratchSpec, from_scratch

M, END = Hash().mask_id, 9
MODELS = {
    "llama": {"architecture": "llama"},
    "llama-shifted": {"architecture": "llama", "shift": True},
    "qwen2-shifted": {"architecture": "qwen2", "shift": True, "tie": False},
    "qwen3": {"architecture": "qwen3", "kv_heads": 1},
}


def tiny(name="llama", attention="bidirectional", seed=1):
    """A model that is random but far from constant."""
    shape = dict(MODELS[name])
    shift = shape.pop("shift", False)
    spec = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.2, max_positions=64, seed=seed, **shape)
    return from_scratch(spec, shift=shift, attention=attention)


def lay(*shapes, block=4, row_length=None, seed=0, end=END, tail=0, first=0):
    """Rows of (prompt tokens, answer tokens with the end token); the canvas is filled to the block, plus a tail."""
    rng = torch.Generator().manual_seed(seed)
    examples = []
    for order, (prompt, answer) in enumerate(shapes, first):
        ids = torch.randint(1, 9, (prompt + answer,), generator=rng).tolist()
        canvas = -(-answer // block) * block + tail
        examples.append(
            Example(prompt=ids[:prompt], answer=[*ids[prompt:-1], end] if answer else (), order=order, canvas=canvas)
        )
    return lay_out(examples, block_size=block, filler_id=end, row_length=row_length)


def ask(objective, batch, model=None, *, seed=0, progress=0.0, **recorded):
    """Pose the objective's question with recorded numbers for some draws."""
    values = {name.replace("_", " "): torch.tensor(v, dtype=torch.float64) for name, v in recorded.items()}
    draws = RecordedDraws(seed=seed, values=values) if values else Draws(seed=seed)
    return objective.noise(batch, model=model or Hash(), draws=draws, progress=progress)


def region_of(objective, batch, draws):
    """The first region of a method."""
    whole = objective.composition
    return whole.scope.regions(batch, whole.schedule, draws=draws, progress=0.0)[0]


def causal(batch, rule):
    """The plain text under a rule, as a model that knows of no streams reads it."""
    return Query(ids=batch.ids.clone(), columns=batch.query(batch.ids).columns, rule=rule)


def places(noised):
    """(example, position in its text) of every asked token."""
    row, column = noised.query_positions.unbind(1)
    columns = noised.query.columns
    return list(zip(columns.segment[row, column].tolist(), columns.position[row, column].tolist(), strict=True))
