"""10 steps = 5 + kill + resume + 5, bit for bit; a save that dies leaves the checkpoint before it loadable."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from unmask.data import Encoded
from unmask.errors import UserError
from unmask.models import load
from unmask.objectives import Blockwise
from unmask.train import TrainRun, checkpoints, train

RUN = TrainRun(
    objective=Blockwise(block_size=4), steps=10, batch_size=2, accumulate=2, lr=1e-2, save_every=5, keep=3
)  # fmt: skip


def weights(folder):
    return dict(load(str(folder)).model.named_parameters())


def test_resume_is_bit_for_bit(tiny, sorting, tmp_path):
    whole = train(tiny(), sorting, RUN, out=tmp_path / "whole", held_out=sorting[:4], show=False)
    train(tiny(), sorting, RUN, out=tmp_path / "cut", held_out=sorting[:4], show=False)
    # As if killed after step 7: the second checkpoint and the model are gone, metrics run ahead of the checkpoint.
    shutil.rmtree(tmp_path / "cut/checkpoints/checkpoint-10")
    shutil.rmtree(tmp_path / "cut/model")
    lines = (tmp_path / "cut/metrics.jsonl").read_text().splitlines()
    (tmp_path / "cut/metrics.jsonl").write_text("\n".join(lines[:8]) + '\n{"step": 8, "lo')
    again = train(tiny(), sorting, RUN, out=tmp_path / "cut", held_out=sorting[:4], resume=True, show=False)
    for name, weight in weights(whole.model).items():
        assert torch.equal(weights(again.model)[name], weight), name
    one, two = (
        [json.loads(line) for line in (r.folder / "metrics.jsonl").read_text().splitlines()] for r in (whole, again)
    )
    assert [line["step"] for line in one] == [line["step"] for line in two] == list(range(11))
    for key in ("loss", "supervised_tokens", "forward_tokens", "examples", "flops", "lr"):
        assert [line.get(key) for line in one] == [line.get(key) for line in two]


def test_resume_refuses_another_run_and_an_empty_folder(tiny, sorting, tmp_path):
    train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    with pytest.raises(UserError, match="holds another run; write --resume"):
        train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    other = TrainRun(objective=Blockwise(block_size=4), steps=10, batch_size=2, accumulate=2, lr=2e-2, save_every=5)
    with pytest.raises(UserError, match=r"not the run that it holds: lr was 0.01 and is 0.02"):
        train(tiny(), sorting, other, out=tmp_path / "a", resume=True, show=False)
    with pytest.raises(UserError, match="no run to resume here"):
        train(tiny(), sorting, RUN, out=tmp_path / "none", resume=True, show=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("x")
    with pytest.raises(UserError, match="is not empty and holds no run"):
        train(tiny(), sorting, RUN, out=tmp_path / "full", show=False)


def test_a_finished_run_resumes_to_itself(tiny, sorting, tmp_path):
    train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    before = weights(tmp_path / "a/model")
    train(tiny(), sorting, RUN, out=tmp_path / "a", resume=True, show=False)
    for name, weight in weights(tmp_path / "a/model").items():
        assert torch.equal(before[name], weight)


KILLED = textwrap.dedent(
    """
    import os, random, signal, sys
    sys.path.insert(0, {tests!r})
    from unmask.data import Encoded
    from unmask.models import ScratchSpec, from_scratch
    from unmask.objectives import Blockwise
    from unmask.train import TrainRun, checkpoints, train
    from unmask.train.trainer import DiffusionTrainer

    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, seed=1))
    examples = [Encoded(prompt=[1, 2, 3], answer=[4, 5, lm.filler_id], source=f"row {{i}}") for i in range(8)]
    save = lm.save
    calls = []

    def save_and_die(folder, **options):
        save(folder, **options)
        calls.append(folder)
        if len(calls) == 2:  # weights of the second checkpoint are on disk, its optimizer is not
            os.kill(os.getpid(), signal.SIGKILL)

    lm.save = save_and_die
    run = TrainRun(objective=Blockwise(block_size=4), steps=10, batch_size=2, lr=1e-2, save_every=5)
    train(lm, examples, run, out={out!r}, show=False)
    """
)


def test_sigkill_in_the_middle_of_a_save(tiny, tmp_path):
    out = tmp_path / "run"
    script = KILLED.format(tests=str(Path(__file__).parents[2]), out=str(out))
    died = subprocess.run([sys.executable, "-c", script], capture_output=True, env=os.environ, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-500:]
    assert (out / "checkpoints" / checkpoints.STAGING).exists()
    left = checkpoints.newest(out / "checkpoints")
    assert left is not None
    assert left.name == "checkpoint-5"
    load(str(left))
    lm = tiny()
    examples = [Encoded(prompt=[1, 2, 3], answer=[4, 5, lm.filler_id], source=f"row {i}") for i in range(8)]
    run = TrainRun(objective=Blockwise(block_size=4), steps=10, batch_size=2, lr=1e-2, save_every=5)
    result = train(lm, examples, run, out=out, resume=True, show=False)
    assert result.model.exists()
    assert not (out / "checkpoints" / checkpoints.STAGING).exists()


def test_a_full_disk_during_a_save_keeps_the_checkpoint_before(tiny, sorting, tmp_path, monkeypatch):
    lm = tiny()
    save, calls = lm.save, []

    def save_until_full(folder, **options):
        calls.append(folder)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return save(folder, **options)

    monkeypatch.setattr(lm, "save", save_until_full)
    with pytest.raises(UserError, match="checkpoint-10: could not be written .No space left on device.; make room"):
        train(lm, sorting, RUN, out=tmp_path / "a", show=False)
    assert checkpoints.newest(tmp_path / "a/checkpoints").name == "checkpoint-5"


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "manifest"])
def test_a_damaged_checkpoint_is_passed_over(tiny, sorting, tmp_path, damage):
    train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    last = tmp_path / "a/checkpoints/checkpoint-10"
    file = last / "model.safetensors"
    content = file.read_bytes()
    if damage == "truncate":
        file.write_bytes(content[:-10])
    elif damage == "flip":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "delete":
        (last / "optimizer.pt").unlink()
    else:
        (last / "manifest.json").write_text("{")
    assert checkpoints.newest(tmp_path / "a/checkpoints").name == "checkpoint-5"


def test_old_checkpoints_are_rotated(tiny, sorting, tmp_path):
    run = TrainRun(steps=4, batch_size=1, save_every=1, keep=2)
    train(tiny(), sorting, run, out=tmp_path / "a", show=False)
    names = {f.name for f in (tmp_path / "a/checkpoints").iterdir()}
    assert names == {"checkpoint-3", "checkpoint-4"}


def test_nan_stops_and_names_the_step_and_the_rows(tiny, sorting, tmp_path, monkeypatch):
    lm = tiny()
    score, calls = lm.score, []

    def poisoned(*args, **options):
        calls.append(1)
        scored = score(*args, **options)
        if len(calls) == 14:  # the second micro-batch of step 7
            scored.nll[0] = float("nan")
        return scored

    monkeypatch.setattr(lm, "score", poisoned)
    with pytest.raises(
        UserError, match=r"the loss is nan at step 7, on row \d+; last good checkpoint: .*checkpoint-5;"
    ):
        train(lm, sorting, RUN, out=tmp_path / "a", show=False)
    assert checkpoints.newest(tmp_path / "a/checkpoints").name == "checkpoint-5"
    assert not (tmp_path / "a/model").exists()
