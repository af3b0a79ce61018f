"""Two gloo processes make the very step that one process makes of the same examples."""

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
    from unmask.data import Encoded
    from unmask.models import ScratchSpec, from_scratch
    from unmask.objectives import Vanilla
    from unmask.train import Layout, TrainRun, train

    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, seed=1), device="cpu")
    end = lm.filler_id
    examples = [
        Encoded(prompt=[1] * (1 + i % 3), answer=[*range(2, 3 + i % 5), end], source=f"row {i}") for i in range(9)
    ]
    run = TrainRun(
        objective=Vanilla(normaliser="per_token"), steps=3, batch_size=int(sys.argv[2]), lr=1e-2, warmup=0.0,
        schedule="constant",
    )
    train(lm, examples, run, out=sys.argv[1], layout=Layout(block_size=4), show=False)
    """
)


def test_one_process_of_four_rows_equals_two_of_two(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    alone(script, tmp_path / "one", "4")
    in_two(script, tmp_path / "two", "2")
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    for a, b in zip(one[1:], two[1:], strict=True):
        assert abs(a["loss"] - b["loss"]) < 1e-5
        assert abs(a["grad_norm"] - b["grad_norm"]) < 1e-4 * a["grad_norm"]
        assert a["supervised_tokens"] == b["supervised_tokens"]
        assert a["examples"] == b["examples"]
    weights = [load_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, atol=1e-4, rtol=0)
