"""The one file of the golden tests that knows the library: a rebuild of its layout changes this file only.

Everything else (cases, canvases, records) speaks in recipe names, tokens and numbers.
"""

import json

import torch

from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.data import Encoded
from unmask.decoding import (
    BLOCK_RULES,
    CACHES,
    CONSTRAINTS,
    PROPOSALS,
    REVISIONS,
    SEARCHES,
    SELECTIONS,
    STOPS,
    VIEWS,
    Decoder,
    decode,
)
from unmask.generate.api import resolve_decoder
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import OBJECTIVES
from unmask.train import Layout, TrainRun, train

BLOCK_SIZE = 4
FIELDS = {  # of a decoder -> the names that it may have
    "selection": SELECTIONS,
    "proposal": PROPOSALS,
    "blocks": BLOCK_RULES,
    "revision": REVISIONS,
    "stop": STOPS,
    "view": VIEWS,
    "cache": CACHES,
    "constraint": CONSTRAINTS,
    "search": SEARCHES,
}


def objectives():
    """Names of all objectives."""
    return list(OBJECTIVES)


def components():
    """Field of a decoder -> names of all parts that it may have."""
    return {field: list(registry) for field, registry in FIELDS.items()}


def model(
    *,
    shift=False,
    attention="bidirectional",
    layers=1,
    heads=(),
    tokenizer="digits",
    likely_end=False,
    ties=False,
    nudge=0.0,
):
    """A float64 model whose weights are a formula.

    Args:
        shift, attention, layers, heads, tokenizer: of the model.
        likely_end: the end token is often the likeliest.
        ties: all tokens are equally likely everywhere.
        nudge: moves each weight by up to this share of itself.
    """
    shape = ScratchSpec(architecture="llama", hidden_size=16, layers=layers, heads=2, intermediate_size=16, tie=False)
    lm = from_scratch(shape, tokenizer, shift=shift, attention=attention)
    for name, settings in dict(heads).items():
        lm.attach(name, settings)
    lm.model.double()
    with torch.no_grad():
        for number, (name, weight) in enumerate(sorted(lm.model.named_parameters())):
            if "soft_mask" not in name:  # three scalars that have a start of their own
                weight.copy_(_formula(weight.shape, number, centre=float("norm" in name)))
            if likely_end and name == "lm_head.weight":
                weight[lm.eos_ids[0]] = 1.1 * weight[43]
            if ties and name == "lm_head.weight":
                weight.zero_()
            weight.mul_(1 + nudge * _formula(weight.shape, number + 1000, centre=0.0))
    return lm


def _formula(shape, number, *, centre):
    """Numbers around ``centre``, without a generator and without rounding that depends on a machine."""
    index = torch.arange(shape.numel())
    x = (index * 2654435761 + (number + 1) * 40503) % 1000003
    x = (x * x + 7 * x + number) % 1000003
    return (centre + (2 * x - 1000003).double() / 1000003 * (0.2 if centre else 0.9)).view(shape)


def batch(rows, lm, *, row_length=None):
    """Lay rows of {prompt, answer, canvas, order} out."""
    return lay_out(
        [Example(**row) for row in rows], block_size=BLOCK_SIZE, filler_id=lm.filler_id, row_length=row_length
    )


def objective(spec):
    """Build a training method from what a recipe says."""
    return TrainRun(objective=spec).objective


def for_training(method, *, shift=False, ties=False, nudge):
    """A fresh model as a run prepares it: with the attention and the heads that the method trains."""
    return model(shift=shift, attention=method.attention or "bidirectional", heads=method.heads, ties=ties, nudge=nudge)


def question(method, lm, rows, *, row_length, seed, progress):
    """Noise a batch; return what is recorded of the question, and a function that gives the loss.

    ``layout``, ``read`` and ``asked`` are whole numbers and must be equal, ``weights`` and ``count`` are real ones.
    """
    clean = batch(rows, lm, row_length=row_length)
    noised = method.noise(clean, model=lm, draws=Draws(seed=seed), progress=progress)
    columns, soft = noised.query.columns, noised.query.soft
    read = [noised.query.ids, columns.position, columns.segment, columns.block, columns.stream]
    real = [noised.weight, noised.noise_level] + ([] if noised.extra is None else [noised.extra])
    if soft is not None:
        read += [soft.query_positions, soft.ids]
        real.append(soft.weights)

    def loss():
        scored = lm.score(noised.query, noised.query_positions, noised.targets, want=method.want)
        return method.loss(scored, noised)

    found = {
        "layout": [clean.ids, clean.position, clean.owner, clean.offset, clean.text_length, clean.filled_length],
        "read": read,
        "asked": torch.cat(
            [noised.query_positions, noised.targets[:, None], noised.example[:, None], noised.group[:, None]], dim=1
        ),
        "weights": real,
        "count": float(noised.count),
    }
    return found, loss


def decoding(fields, lm, rows, *, is_given=None, seed=0):
    """Decode rows, and yield what is recorded of each step; the text of all rows comes last.

    Args:
        fields: of the decoder, as a recipe has them.
        lm: the model.
        rows: with empty answers.
        is_given: canvas offsets whose token 7 stands there from the start, in every row.
        seed: of the draws.
    """
    options = {"block_size": BLOCK_SIZE, "stop": "never", **fields}
    chosen = resolve_decoder(lm, Decoder(**options))
    particles = chosen.search.particles
    each = [{**row, "order": row["order"] * particles + p} for row in rows for p in range(particles)]
    laid_out = batch(each, lm)
    is_open = laid_out.is_canvas
    if is_given:
        given = torch.isin(laid_out.offset, torch.tensor(is_given))
        laid_out.ids[given] = 7
        is_open = is_open & ~given
    state = None
    for step in decode(lm, laid_out, chosen, draws=Draws(seed=seed), is_open=is_open):
        state = step.state
        yield {
            "written": torch.cat([step.at, step.tokens[:, None]], dim=1).tolist(),
            "taken_back": step.taken_back.tolist(),
            "picked": None if step.picked is None else step.picked.tolist(),
            "forwards": step.forwards,
            "scores": step.scores.tolist(),
            "probabilities": step.probabilities.tolist(),
        }
    text = [state.ids[row][laid_out.offset[row] >= 0].tolist() for row in range(len(state.ids))]
    yield {"text": text, "best": chosen.search.best(state, lm.eos_ids).tolist()}


def trained(run, layout, rows, folder, *, steps, nudge=0.0):
    """Train by the trainer; return what it logged of each step, and the weights in the end as a list of tensors."""
    settings = TrainRun(**{"steps": steps, "batch_size": 4, "lr": 1e-2, "bf16": False, **run})
    lm = for_training(settings.objective, nudge=nudge)
    examples = [Encoded(prompt=row["prompt"], answer=row["answer"], source="") for row in rows]
    laid_out = Layout(block_size=BLOCK_SIZE, **layout)
    train(lm, examples, settings, out=folder, layout=laid_out, held_out=examples[:3], show=False)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    told = ("step", "loss", "lr", "grad_norm", "held_out_loss", "examples", "supervised_tokens", "forward_tokens")
    return [{name: line[name] for name in told if name in line} for line in lines], list(lm.model.parameters())
