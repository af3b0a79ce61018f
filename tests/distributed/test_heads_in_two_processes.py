"""Heads in data-parallel training: every rank gives their parameters a gradient, whatever its own rows drew."""

import json
import textwrap

import pytest
import torch
from launch import alone, in_two
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

SCRIPT = textwrap.dedent(
    """
    import sys
    import torch
    torch.set_num_threads(1)
    from unmask.config.components import choose
    from unmask.data import Encoded
    from unmask.models import ScratchSpec, from_scratch
    from unmask.objectives import OBJECTIVES
    from unmask.train import Layout, TrainRun, train

    SOFT = {"name": "soft_masked", "share": 0.5, "inner": {"name": "vanilla", "normaliser": "per_token"}}
    RUNS = {
        "soft": SOFT,
        "mixture": {"name": "mixture", "members": [SOFT, {"name": "vanilla", "normaliser": "per_token"}]},
        "remedi": {"name": "remedi", "normaliser": "per_token", "taps": 2},
    }
    for name, objective in RUNS.items():
        lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, seed=1), device="cpu")
        examples = [
            Encoded(prompt=[1] * (1 + i % 3), answer=[*range(2, 3 + i % 5), lm.filler_id], source=f"row {i}")
            for i in range(9)
        ]
        run = TrainRun(
            objective=choose(OBJECTIVES, objective), steps=4, batch_size=int(sys.argv[2]), lr=1e-2, warmup=0.0,
            schedule="constant",
        )
        train(lm, examples, run, out=sys.argv[1] + "/" + name, layout=Layout(block_size=4), show=False)
    """
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One process of two rows, and two processes of one row each; single rows often draw nothing for a head."""
    folder = tmp_path_factory.mktemp("heads")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    alone(script, folder / "one", "2")
    in_two(script, folder / "two", "1")
    return folder


@pytest.mark.parametrize("name", ["soft", "mixture", "remedi"])
def test_two_processes_train_the_heads_as_one_does(runs, name):
    one, two = (
        [json.loads(line) for line in (runs / kind / name / "metrics.jsonl").read_text().splitlines()]
        for kind in ("one", "two")
    )
    for a, b in zip(one[1:], two[1:], strict=True):
        assert abs(a["loss"] - b["loss"]) < 1e-5
        assert a["supervised_tokens"] == b["supervised_tokens"]
    heads = [load_file(runs / kind / name / "model/unmask_heads.safetensors") for kind in ("one", "two")]
    for key, weight in heads[0].items():
        torch.testing.assert_close(heads[1][key], weight, atol=1e-4, rtol=0)
