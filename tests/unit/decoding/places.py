"""Candidates by hand, and traces to compare."""

import torch

from toys import Doubts, Hash
from unmask.canvas import Example, lay_out
from unmask.decoding import SELECTIONS, Candidates, Decoder, decode
from unmask.seeds import Draws


def places(scores, *, closed=(), steps_done=0, opened=None, width=None, token=None, canvas=16, trust=None, **measures):
    """One row of a block; ``closed`` places are written, and asked about if there is ``trust`` in them."""
    score = torch.tensor([scores], dtype=torch.float64)
    is_open = torch.ones_like(score, dtype=torch.bool)
    is_open[0, list(closed)] = False
    given = {name: torch.tensor([values], dtype=torch.float64) for name, values in measures.items()}
    one = torch.ones(1, dtype=torch.int64)
    return Candidates(
        rows=torch.tensor([0]),
        columns=torch.arange(len(scores))[None],
        width=one * (width or len(scores)),
        canvas=one * canvas,
        is_open=is_open,
        is_asked=is_open if trust is None else torch.ones_like(is_open),
        token=torch.zeros_like(is_open, dtype=torch.int64) if token is None else torch.tensor([token]),
        score=torch.where(is_open, score, -torch.inf),
        measure=given.__getitem__,
        block_open=one * (int(is_open.sum()) if opened is None else opened),
        block_steps=one * steps_done,
        trust=None if trust is None else torch.tensor([trust], dtype=torch.float64),
    )


def picked(name, candidates, *, steps=None, **fields):
    """Which places of the row a selection picks."""
    return SELECTIONS[name](**fields).select(candidates, steps=steps)[0].nonzero().flatten().tolist()


def trace(fields=None, *, model=None, length=16, prompts=((1, 2, 3), (4,)), seed=0, heads=True, **options):
    """Where and what each step of a decoding writes and takes back."""
    examples = [Example(prompt=p, answer=(), order=o, canvas=length) for o, p in enumerate(prompts)]
    batch = lay_out(examples, block_size=4, filler_id=9)
    model = model or Hash()
    if heads:
        model.heads.setdefault("confidence", Doubts(model))
    decoder = Decoder(**{"block_size": 4, "stop": "never", **(fields or {}), **options})
    steps = decode(model, batch, decoder.parts(), draws=Draws(seed=seed))
    return [(s.at.tolist(), s.tokens.tolist(), s.taken_back.tolist()) for s in steps]
