"""What a constraint costs: compiling it, and its share of a step, on a tokenizer of your own.

The model has SmolLM2-135M's shape with random weights, so that nearly everything it would write is forbidden; the
tokenizer must have at most its 49,152 tokens. One row, a canvas of 64, one block, greedy.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from shape import END, model
from transformers import AutoTokenizer

from unmask.constraints import components
from unmask.constraints.compile import bind
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, JsonSchema, Regex, decode
from unmask.models import LoadedModel

CANVAS = 64
PERSON = {
    "name": {"type": "string"},
    "age": {"type": "integer"},
    "city": {"enum": ["Paris", "London", "Berlin"]},
    "tags": {"type": "array", "items": {"type": "string"}},
}
BOUNDED = {**PERSON, "name": {"type": "string", "maxLength": 20}}
CONSTRAINTS = {
    "number": Regex(pattern=r"-?[0-9]+(\.[0-9]+)?"),
    "person": JsonSchema(json_schema={"type": "object", "properties": PERSON, "required": list(PERSON)}),
    "bounded": JsonSchema(json_schema={"type": "object", "properties": BOUNDED, "required": list(BOUNDED)}),
}


def clocked(method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Time every call."""

    def call(*args: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*args)
        finally:
            seconds.append(time.perf_counter() - start)

    return call


def measure(lm: LoadedModel, constraint: Any, selection: dict[str, Any]) -> dict[str, float]:
    """Decode once from a constraint without memories."""
    start = time.perf_counter()
    bound = bind(constraint, lm)
    compiled = time.perf_counter() - start
    batch = lay_out([Example(prompt=[1, 2, 3], answer=(), order=0, canvas=CANVAS)], block_size=CANVAS, filler_id=END)
    ours: dict[str, list[float]] = {"ban": [], "admit": []}
    kept = {name: getattr(components.Accepted, name) for name in ours}
    for name, seconds in ours.items():
        setattr(components.Accepted, name, clocked(kept[name], seconds))
    try:
        settings = {"block_size": CANVAS, "stop": "never", "constraint": bound, **selection}
        start = time.perf_counter()
        steps = list(decode(lm, batch, Decoder(**settings).resolve(), draws=Draws(seed=0)))
        total = time.perf_counter() - start
    finally:
        for name, method in kept.items():
            setattr(components.Accepted, name, method)
    each = [sum(pair) for pair in zip(*ours.values(), strict=True)]
    return {
        "states": bound.automaton.states,
        "classes": bound.automaton.classes,
        "compile_s": compiled,
        "steps": len(steps),
        "first_ms": 1e3 * each[0],
        "median_ms": 1e3 * statistics.median(each),
        "mean_ms": 1e3 * statistics.mean(each),
        "share": sum(each) / total,
        "is_stuck": bool(steps[-1].state.is_stuck.any()),
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("tokenizer", help="folder of a tokenizer")
    arguments.add_argument("--layers", type=int, default=30)
    found = arguments.parse_args()
    lm = model(layers=found.layers)
    lm.model.eval()
    lm.tokenizer = AutoTokenizer.from_pretrained(found.tokenizer)
    with torch.inference_mode():
        for name, constraint in CONSTRAINTS.items():
            for way, selection in (("one a step", {}), ("threshold 0", {"threshold": 0.0})):
                figures = measure(lm, constraint, selection)
                print(name, way, json.dumps({key: round(value, 4) for key, value in figures.items()}), flush=True)
