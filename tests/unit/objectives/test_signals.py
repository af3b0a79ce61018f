"""The first signals: vanilla training lowers the held-out bound, and blockwise training decodes better in blocks."""

import json

import pytest

from unmask.data import encode
from unmask.decoding import Decoder
from unmask.evaluate import evaluate
from unmask.models import load
from unmask.objectives import Blockwise, Vanilla
from unmask.runtime.paths import resolve_path
from unmask.tasks import TASKS
from unmask.train import Layout, TrainRun, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The quick start's base after 100 steps of either method on lists of 8; 100 problems decoded in blocks of 7."""
    task, found = TASKS["sorting"](shortest=8, longest=8), {}
    records = [p.record for p in task.problems("train", 4800, 7)]
    for objective in (Vanilla(), Blockwise(block_size=7)):
        lm = load(resolve_path("asset:quickstart/model"))
        rows = encode(records, lm.tokenizer, max_length=64, canvas=28, end_ids=lm.eos_ids, chat=False)
        out = tmp_path_factory.mktemp("signals") / objective.name
        run = TrainRun(objective=objective, steps=100, batch_size=48, lr=1e-3, seed=0)
        layout = Layout(block_size=7, canvas=28)
        train(lm, rows[64:], run, out=out, layout=layout, held_out=rows[:64], show=False)
        decoder = Decoder(block_size=7, threshold=0.9)
        judged = evaluate(lm, task, task.problems("test", 200, 0), decoder=decoder, max_new_tokens=28, batch_size=100)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        found[objective.name] = judged.accuracy, [line["held_out_loss"] for line in lines if "held_out_loss" in line]
    return found


def test_the_held_out_bound_falls(trained):
    before, after = trained["vanilla"][1]
    assert after < 0.9 * before


def test_alignment_shows_in_blocks(trained):
    assert trained["blockwise"][0] > trained["vanilla"][0]
