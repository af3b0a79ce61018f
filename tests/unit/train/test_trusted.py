"""What a run promises: one owner, a record of all that matters, checkpoints unasked, nothing that is not a number."""

import json
import logging
import os
import resource
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from unmask.data import Encoded
from unmask.errors import Interrupted, NonFiniteError, UserError
from unmask.models import load
from unmask.objectives import Blockwise
from unmask.runtime.runlock import owned
from unmask.runtime.sealed import seal
from unmask.train import Layout, TrainRun, checkpoints, train
from unmask.train.metrics import Watch
from unmask.train.trainer import DiffusionTrainer

RUN = TrainRun(objective=Blockwise(block_size=4), steps=4, batch_size=2, lr=1e-2, schedule="constant", warmup=0.0)


def steps_kept(folder):
    return sorted(int(f.name.removeprefix("checkpoint-")) for f in (folder / "checkpoints").glob("checkpoint-*"))


def weights(folder):
    return dict(load(str(folder)).model.named_parameters())


def at_step(monkeypatch, step, action):
    """Do something to the trainer when it has done so many steps."""
    close = DiffusionTrainer._close_window

    def closed(self, model):
        value = close(self, model)
        if self.state.global_step + 1 == step:
            action(self)
        return value

    monkeypatch.setattr(DiffusionTrainer, "_close_window", closed)


def test_a_tenth_of_a_run_is_saved_unasked(tiny, sorting, tmp_path):
    run = replace(RUN, steps=20, keep=99)
    train(tiny(), sorting, run, out=tmp_path / "a", show=False)
    assert steps_kept(tmp_path / "a") == list(range(2, 21, 2))


def test_ten_minutes_are_saved_unasked(tiny, sorting, tmp_path, monkeypatch):
    from unmask.train import callbacks

    monkeypatch.setattr(callbacks, "MINUTES", 0)
    train(tiny(), sorting, replace(RUN, steps=20, keep=99), out=tmp_path / "a", show=False)
    assert steps_kept(tmp_path / "a") == list(range(1, 21))


def test_the_best_checkpoint_is_kept(tiny, sorting, tmp_path, monkeypatch):
    from unmask.train import measured

    losses = iter([9.0, 5.0, 3.0, 4.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(measured, "held_out_loss", lambda *_, **__: next(losses))
    run = replace(RUN, steps=6, eval_every=1, save_every=3, keep=1)
    train(tiny(), sorting, run, out=tmp_path / "a", held_out=sorting[:2], show=False)
    assert steps_kept(tmp_path / "a") == [2, 6]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on_bit_for_bit(tiny, sorting, tmp_path, monkeypatch, number):
    run = replace(RUN, steps=6, save_every=5)
    whole = train(tiny(), sorting, run, out=tmp_path / "whole", show=False)
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda _: os.kill(os.getpid(), number))
        with pytest.raises(Interrupted, match=r"stopped after step 2 of 6, saved in .*checkpoint-2; go on .*--resume"):
            train(tiny(), sorting, run, out=tmp_path / "cut", show=False)
    assert steps_kept(tmp_path / "cut") == [2]
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
    again = train(tiny(), sorting, run, out=tmp_path / "cut", resume=True, show=False)
    assert all(torch.equal(weights(again.model)[name], weight) for name, weight in weights(whole.model).items())
    assert again.totals["forward_tokens"] == whole.totals["forward_tokens"]


def test_a_second_signal_ends_it_at_once(tiny, sorting, tmp_path, monkeypatch):
    def twice(_):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    at_step(monkeypatch, 2, twice)
    pid = os.fork()
    if pid == 0:
        train(tiny(), sorting, replace(RUN, save_every=9), out=tmp_path / "a", show=False)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGINT
    assert not steps_kept(tmp_path / "a")


def test_two_in_one_folder(tiny, sorting, tmp_path):
    train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    for options in ({"resume": True}, {}):
        with owned(tmp_path / "a", "another"):
            held = (tmp_path / "a/.lock.json").read_text()
            pid = os.fork()
            if pid == 0:
                try:
                    train(tiny(), sorting, RUN, out=tmp_path / "a", show=False, **options)
                except UserError as error:
                    os._exit(7 if f"in use by process {os.getppid()}" in str(error) else 1)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            assert (tmp_path / "a/.lock.json").read_text() == held


@pytest.mark.parametrize("kind", ["weights", "data", "order", "held_out", "template", "block_size", "layout"])
def test_another_run_is_named_before_it_goes_on(tiny, sorting, tmp_path, kind):
    train(tiny(), sorting, RUN, out=tmp_path / "a", held_out=sorting[:2], layout=Layout(max_length=64), show=False)
    before = (tmp_path / "a/run.json").read_bytes()
    lm, data, held_out, layout = tiny(), list(sorting), sorting[:2], Layout(max_length=64)
    says = kind
    if kind == "weights":
        with torch.no_grad():
            next(lm.model.parameters()).add_(1)
    elif kind == "data":
        data[3] = Encoded(prompt=data[3].prompt, answer=[*data[3].answer[1:], lm.filler_id], source=data[3].source)
    elif kind == "order":
        data[:2], says = data[1::-1], "data"
    elif kind == "held_out":
        held_out = sorting[2:4]
    elif kind == "template":
        lm.tokenizer.chat_template = "{{ messages }}"
    elif kind == "block_size":
        layout, says = layout, "objective"
    else:
        layout, says = Layout(max_length=65), "max_length"
    run = replace(RUN, objective=Blockwise(block_size=2)) if kind == "block_size" else RUN
    with pytest.raises(UserError, match=rf"not the run that it holds: .*{says} was"):
        train(lm, data, run, out=tmp_path / "a", held_out=held_out, layout=layout, resume=True, show=False)
    assert (tmp_path / "a/run.json").read_bytes() == before


def test_other_versions_are_told(tiny, sorting, tmp_path):
    train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    record = json.loads((tmp_path / "a/run.json").read_text())
    record["versions"]["torch"] = "1.0"
    (tmp_path / "a/run.json").write_text(json.dumps(record))
    said = []
    train(tiny(), sorting, RUN, out=tmp_path / "a", resume=True, show=False, tell=said.append)
    assert any("torch was 1.0" in line for line in said)


def test_a_finished_run_is_extended_to_what_it_would_have_been(tiny, sorting, tmp_path):
    long, short = replace(RUN, steps=6, warmup=0.0), replace(RUN, steps=4, warmup=0.0)
    whole = train(tiny(), sorting, long, out=tmp_path / "whole", show=False)
    train(tiny(), sorting, short, out=tmp_path / "a", show=False)
    said = []
    again = train(tiny(), sorting, long, out=tmp_path / "a", resume=True, show=False, tell=said.append)
    assert any("4 steps become 6" in line for line in said)
    assert all(torch.equal(weights(again.model)[name], weight) for name, weight in weights(whole.model).items())
    with pytest.raises(UserError, match="at step 6 already, beyond run.steps=5"):
        train(tiny(), sorting, replace(RUN, steps=5), out=tmp_path / "a", resume=True, show=False)


def test_a_schedule_that_has_run_down_is_not_extended(tiny, sorting, tmp_path):
    run = replace(RUN, schedule="cosine")
    train(tiny(), sorting, run, out=tmp_path / "a", show=False)
    with pytest.raises(UserError, match="steps was 4 and is 8, but run.schedule=cosine has lowered the learning rate"):
        train(tiny(), sorting, replace(run, steps=8), out=tmp_path / "a", resume=True, show=False)


def test_without_a_whole_checkpoint_it_asks_for_restart(tiny, sorting, tmp_path):
    first = train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    expected = weights(first.model)
    with pytest.raises(UserError, match="holds checkpoint-4, which --restart would lose"):
        train(tiny(), sorting, RUN, out=tmp_path / "a", restart=True, show=False)
    for step in steps_kept(tmp_path / "a"):
        (tmp_path / f"a/checkpoints/checkpoint-{step}/manifest.json").write_text("{}")
    shutil.rmtree(tmp_path / "a/model")
    said = []
    with pytest.raises(UserError, match="no whole checkpoint to go on from; write --restart"):
        train(tiny(), sorting, RUN, out=tmp_path / "a", resume=True, show=False, tell=said.append)
    assert all("damaged (manifest.json lists nothing)" in line for line in said)
    assert len(said) == len(steps_kept(tmp_path / "a"))
    again = train(tiny(), sorting, RUN, out=tmp_path / "a", restart=True, show=False)
    assert all(torch.equal(weights(again.model)[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"settings": []}', '{"settings": {"steps": "x"}}', "[" * 999]
)
def test_a_damaged_record_is_one_line(tiny, sorting, tmp_path, content):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/run.json").write_text(content)
    with pytest.raises(UserError, match=r"run.json: expected the record of a training run"):
        train(tiny(), sorting, RUN, out=tmp_path / "a", resume=True, show=False)


@pytest.mark.parametrize("kib", [8, 60, 130])  # the first file of a checkpoint, the weights, the optimiser
def test_a_file_that_may_grow_no_further_is_one_line(tiny, sorting, tmp_path, kib):
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kib << 10, kib << 10))
        try:
            train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
        except UserError as error:
            os._exit(7 if "could not be written" in str(error) and "make room" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert not (tmp_path / "a/model").exists()


def test_a_start_that_fails_claims_nothing(tiny, sorting, tmp_path):
    lm = tiny()
    lm.score = None
    with pytest.raises(TypeError):
        train(lm, sorting, RUN, out=tmp_path / "new/a", show=False)
    assert not (tmp_path / "new").exists()


def poison(weight, value):
    with torch.no_grad():
        weight.view(-1)[0] = value


def test_a_gradient_that_is_no_number_stops_before_the_update(tiny, sorting, tmp_path, monkeypatch):
    def spoil(trainer):
        next(trainer.model.parameters()).grad[0] = float("inf")

    at_step(monkeypatch, 3, spoil)
    with pytest.raises(NonFiniteError, match=r"norm of the gradient is inf at step 3, on row \d+, row \d+; last good"):
        train(tiny(), sorting, replace(RUN, save_every=2), out=tmp_path / "a", show=False)
    assert steps_kept(tmp_path / "a") == [2]
    assert not (tmp_path / "a/model").exists()


def test_the_last_update_is_looked_at(tiny, sorting, tmp_path, monkeypatch):
    step = torch.optim.AdamW.step
    calls = []

    def last_is_bad(self, *rest, **options):
        done = step(self, *rest, **options)
        calls.append(1)
        if len(calls) == 4:
            poison(self.param_groups[0]["params"][0], float("nan"))
        return done

    monkeypatch.setattr(torch.optim.AdamW, "step", last_is_bad)
    with pytest.raises(NonFiniteError, match=r"the weight .* is not finite after step 4, on row .*checkpoint-2"):
        train(tiny(), sorting, replace(RUN, save_every=2), out=tmp_path / "a", show=False)
    assert steps_kept(tmp_path / "a") == [2]
    assert not (tmp_path / "a/model").exists()


def test_a_held_out_loss_that_is_no_number_stops_the_run(tiny, sorting, tmp_path, monkeypatch):
    lm = tiny()
    score = lm.score

    def score_of_held_out(*rest, **options):
        scored = score(*rest, **options)
        if not lm.model.training and len(calls) > 1:
            scored.nll[0] = float("nan")
        return scored

    calls = []
    at_step(monkeypatch, 2, lambda _: calls.append(1))
    at_step(monkeypatch, 3, lambda _: calls.append(1))
    monkeypatch.setattr(lm, "score", score_of_held_out)
    run = replace(RUN, save_every=2, eval_every=3)
    with pytest.raises(NonFiniteError, match=r"held-out loss is not finite after step 3, on row [01].*checkpoint-2"):
        train(lm, sorting, run, out=tmp_path / "a", held_out=sorting[:2], show=False)


def test_a_loss_far_above_its_median_is_told_once():
    watch = Watch()
    said = [line for step in range(400) if (line := watch.see(step, 2.0 if step < 50 else 7.0))]
    assert len(said) == 1
    assert "above 3 times its running median of 2 for 20 steps, now 7 at step 69" in said[0]
    silence_libraries = Watch()
    assert not any(silence_libraries.see(step, 2.0 + 3.9 * (step % 2)) for step in range(400))
    assert not any(Watch().see(step, 1e9 if step < 5 else 1.0) for step in range(50))


def test_a_trained_model_that_was_damaged_is_refused(tiny, sorting, tmp_path, caplog):
    made = train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    with caplog.at_level(logging.WARNING):
        load(made.model)
    assert not caplog.records
    config = json.loads((made.model / "config.json").read_text())
    (made.model / "config.json").write_text(json.dumps({**config, "use_cache": False}))
    with caplog.at_level(logging.WARNING):
        load(made.model)
    assert "config.json changed since it was saved" in caplog.text
    file = made.model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(UserError, match="damaged: model.safetensors is not what was written; copy or train it again"):
        load(made.model)
    (made.model / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="damaged: manifest.json does not list model.safetensors"):
        load(made.model)
    (made.model / "manifest.json").unlink()
    load(made.model)


def test_decoding_logits_that_are_no_numbers_is_an_error(tiny):
    from unmask.generate import generate

    lm = tiny()
    poison(lm.stock.model.norm.weight, float("nan"))
    with pytest.raises(NonFiniteError, match=r"logits are not finite in step 1 of 2 answers \(the first is number 1"):
        generate(lm, ["12=", "21="], max_new_tokens=8, chat=False)


def test_damaged_checkpoints_do_not_count_among_those_that_are_kept(tiny, sorting, tmp_path, monkeypatch):
    run = replace(RUN, steps=9, save_every=1, keep=1)
    train(tiny(), sorting, replace(run, steps=6), out=tmp_path / "a", show=False)
    kept = tmp_path / "a/checkpoints/checkpoint-6"
    shutil.copytree(kept, tmp_path / "good")
    for name in ("checkpoint-7", "checkpoint-8"):
        shutil.copytree(kept, kept.with_name(name))
    at_step(monkeypatch, 7, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="saved in .*checkpoint-7"):
        train(tiny(), sorting, run, out=tmp_path / "a", resume=True, show=False)
    assert steps_kept(tmp_path / "a") == [7]
    assert checkpoints.damage_of(tmp_path / "a/checkpoints/checkpoint-7") is None


@pytest.mark.parametrize("damage", ["empty", "renamed", "without optimizer.pt", "without rng_state.pth"])
def test_a_manifest_alone_makes_no_checkpoint(tiny, sorting, tmp_path, damage):
    train(tiny(), sorting, replace(RUN, save_every=2), out=tmp_path / "a", show=False)
    root = tmp_path / "a/checkpoints"
    last = root / "checkpoint-4"
    if damage == "empty":
        shutil.rmtree(last)
        last.mkdir()
        (last / "manifest.json").write_text("{}")
    elif damage == "renamed":
        last.rename(root / "checkpoint-60")
    else:
        (last / damage.removeprefix("without ")).unlink()
        seal(last)
    said = []
    assert checkpoints.newest(root, said.append) == root / "checkpoint-2"
    assert len(said) == 1


@pytest.mark.parametrize("change", [{"lr": 0.5}, {"steps": True}, {"seed": None}])
def test_a_record_that_was_changed_is_known(tiny, sorting, tmp_path, change):
    train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    record = json.loads((tmp_path / "a/run.json").read_text())
    record["settings"] |= change
    (tmp_path / "a/run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="expected the record of a training run"):
        train(tiny(), sorting, replace(RUN, lr=0.5), out=tmp_path / "a", resume=True, show=False)


def test_settings_that_change_no_weight_may_change(tiny, sorting, tmp_path):
    train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    lm = tiny()
    lm.source = "moved"
    train(lm, sorting, replace(RUN, keep=1, save_every=3, log_every=2), out=tmp_path / "a", resume=True, show=False)


def test_one_weight_or_the_config_makes_another_model(tiny):
    from unmask.models.fingerprint import hash_of_model

    lm = tiny()
    before = hash_of_model(lm)
    assert hash_of_model(tiny()) == before
    with torch.no_grad():
        lm.stock.model.layers[1].mlp.down_proj.weight[7, 3] += 1
    assert hash_of_model(lm) != before
    other = tiny()
    other.stock.config.rms_norm_eps = 0.3
    assert hash_of_model(other) != before


def test_without_checkpoints_a_trained_model_is_what_to_begin_from(tiny, sorting, tmp_path):
    made = train(tiny(), sorting, RUN, out=tmp_path / "a", show=False)
    shutil.rmtree(tmp_path / "a/checkpoints")
    for options in ({"resume": True}, {"restart": True}):
        with pytest.raises(UserError, match=f"model.path={made.model}"):
            train(tiny(), sorting, RUN, out=tmp_path / "a", show=False, **options)
