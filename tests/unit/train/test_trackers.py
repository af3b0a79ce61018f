"""Experiment trackers get every line of metrics; TensorBoard's files are read back where it is installed."""

import shutil

import pytest

from unmask.errors import UserError
from unmask.objectives import Blockwise
from unmask.train import TrainRun, train
from unmask.train.tally import as_scalars


def test_lists_become_numbers_with_names():
    line = {
        "step": 3, "loss": 1.5, "lr": 0.1, "nll_by_noise_level": [1.0, *[None] * 6, 2.0], "nll_by_block": [3.0, None],
    }  # fmt: skip
    assert as_scalars(line) == {
        "loss": 1.5, "learning_rate": 0.1, "nll/noise_0.125": 1.0, "nll/noise_1": 2.0, "nll/block_0": 3.0,
    }  # fmt: skip


def test_an_unknown_tracker_is_refused_before_there_is_a_folder(tiny, sorting, tmp_path):
    with pytest.raises(UserError, match="unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        train(tiny(), sorting, TrainRun(steps=1, report_to=("tensorbord",)), out=tmp_path / "a", show=False)
    assert not (tmp_path / "a").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_what_the_metrics_have_also_after_a_resume(tiny, sorting, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = TrainRun(
        objective=Blockwise(block_size=4), steps=6, batch_size=4, lr=1e-2, save_every=3, eval_every=3,
        report_to=("tensorboard",),
    )  # fmt: skip
    train(tiny(), sorting[4:], run, out=tmp_path / "a", held_out=sorting[:4], show=False)
    shutil.rmtree(tmp_path / "a/checkpoints/checkpoint-6")
    train(tiny(), sorting[4:], run, out=tmp_path / "a", held_out=sorting[:4], show=False, resume=True)
    events = EventAccumulator(str(tmp_path / "a/tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    steps = {name: [event.step for event in events.Scalars(f"train/{name}")] for name in ("loss", "held_out_loss")}
    assert steps == {"loss": [1, 2, 3, 4, 5, 6], "held_out_loss": [0, 3, 6]}
    assert {"train/learning_rate", "train/masked_share", "train/nll/block_0"} < set(tags)
    assert any(tag.startswith("train/nll/noise_") for tag in tags)
