"""Candidates by hand, and traces to compare."""

from dataclasses import replace

import torch

from toys import Doubts, Hash
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import SELECTIONS, Candidates, Decoder, decode
from unmask.decoding.loop import start
from unmask.decoding.state import MemoryAccess

MASK = 10


def places(
    scores, *, closed=(), steps_done=0, opened=None, width=None, token=None, canvas=16, correctness=None, logits=None,
    memory=None, start=0, steps=None, mean_confidence=1.0, **measures,
):  # fmt: skip
    """One row of a block; ``closed`` places are written, and asked about if there is ``correctness`` in them.

    ``logits``: a row for each place; ``memory``: those of an earlier step.
    """
    score = torch.tensor([scores], dtype=torch.float64)
    is_open = torch.ones_like(score, dtype=torch.bool)
    is_open[0, list(closed)] = False
    given = {name: torch.tensor([values], dtype=torch.float64) for name, values in measures.items()}
    one = torch.ones(1, dtype=torch.int64)
    is_queried = is_open if correctness is None else torch.ones_like(is_open)
    logits = torch.zeros(len(scores), MASK + 1) if logits is None else torch.tensor(logits)
    rows, width = torch.tensor([0]), one * (width or len(scores))
    token = torch.zeros_like(is_open, dtype=torch.int64) if token is None else torch.tensor([token])
    return Candidates(
        rows=rows,
        columns=torch.arange(len(scores))[None],
        width=width,
        canvas=one * canvas,
        is_open=is_open,
        is_queried=is_queried,
        token=token,
        written=torch.where(is_open, MASK, 0),
        logits=logits[is_queried[0]],
        log_prob=torch.where(is_queried, score, -torch.inf).clamp(min=1e-9).log(),
        score=torch.where(is_open, score, -torch.inf),
        measure=given.__getitem__,
        block_open=one * (int(is_open.sum()) if opened is None else opened),
        block_steps=one * steps_done,
        steps=steps,
        mean_confidence=lambda: one * mean_confidence,
        mask_id=MASK,
        memory=MemoryAccess(memory or {}, rows=rows, start=one * start, width=width, columns=len(scores)),
        look_ahead=None,
        correctness=None if correctness is None else torch.tensor([correctness], dtype=torch.float64),
    )


def state_of(log_prob=(0.0,)):
    """One row without a prompt; ``log_prob``: of its tokens when they were written."""
    batch = lay_out([Example(prompt=(), answer=(), order=0, canvas=len(log_prob))], block_size=4, filler_id=9)
    return replace(start(batch, MASK), log_prob=torch.tensor([log_prob], dtype=torch.float64))


def picked(name, candidates, *, steps=None, **fields):
    """Which places of the row a selection picks."""
    return SELECTIONS[name](**fields).select(replace(candidates, steps=steps))[0].nonzero().flatten().tolist()


def trace(fields=None, *, model=None, length=16, prompts=((1, 2, 3), (4,)), seed=0, heads=True, **options):
    """Where and what each step of a decoding writes and takes back."""
    examples = [Example(prompt=p, answer=(), order=o, canvas=length) for o, p in enumerate(prompts)]
    batch = lay_out(examples, block_size=4, filler_id=9)
    model = model or Hash()
    if heads:
        model.heads.setdefault("confidence", Doubts(model))
    decoder = Decoder(**{"block_size": 4, "stop": "never", **(fields or {}), **options})
    steps = decode(model, batch, decoder.resolve(), draws=Draws(seed=seed))
    return [(s.at.tolist(), s.tokens.tolist(), s.taken_back.tolist()) for s in steps]
