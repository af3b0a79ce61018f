"""``unmask.train`` as its users call it."""

import json

import pytest

import unmask
from unmask.objectives import Blockwise


def test_from_a_file_to_a_model_that_answers(tiny, tmp_path):
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"{d}=", "completion": str(d)}) + "\n" for d in range(8)))
    run = unmask.TrainRun(objective=Blockwise(block_size=2), steps=3, batch_size=4, lr=1e-3, seed=0)
    result = unmask.train(tiny(), str(data), run, out=tmp_path / "run", show=False)
    assert result.totals["examples"] == 12
    kept = json.loads((result.folder / "run.json").read_text())
    assert kept["settings"]["objective"]["name"] == "blockwise"
    assert kept["versions"]["torch"]
    out = unmask.generate(unmask.load(result.folder), ["3="], max_new_tokens=4)
    assert len(out.texts) == 1


def test_a_bad_file_is_one_line(tiny, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"prompt": "1=", "completion": ""}\n')
    with pytest.raises(unmask.UserError, match="bad.jsonl:1"):
        unmask.train(tiny(), tmp_path / "bad.jsonl", unmask.TrainRun(steps=1), out=tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists()


def test_further_values_are_recorded_with_the_held_out_loss(tiny, sorting, tmp_path):
    run = unmask.TrainRun(steps=2, batch_size=2, eval_every=1)
    result = unmask.train(
        tiny(), sorting[4:], run, out=tmp_path / "run", held_out=sorting[:4], evaluate=lambda: {"mine": 1.5}, show=False
    )
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["mine"] for line in lines] == [1.5] * 3
    assert all(line["held_out_loss"] > 0 for line in lines)
