"""Runs from the command line: signals and their exit codes, what goes on and what does not, what check refuses."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest


def start(*arguments):
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "unmask.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for_steps(out, process):
    while not (out / "metrics.jsonl").exists() or '"loss"' not in (out / "metrics.jsonl").read_text():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(run, recipe, tmp_path, number, code):
    out = tmp_path / "run"
    process = start("sft", recipe(run={"steps": 100_000, "batch_size": 1}), "--out", out)
    wait_for_steps(out, process)
    process.send_signal(number)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == code, errors
    said = errors.splitlines()[-1]
    assert said.startswith(f"error: {number.name}: stopped after step ")
    assert said.endswith("; go on with the same command and --resume")
    assert list((out / "checkpoints").glob("checkpoint-*"))
    assert not (out / "model").exists()
    assert not (out / ".lock").exists()


def test_restart_and_resume(run, refused, recipe, tmp_path):
    made, out = recipe(), tmp_path / "run"
    refused("sft", made, "--out", out, "--restart", says="no run to restart here; leave out --restart to start one")
    assert run("sft", made, "--out", out).exit_code == 0
    refused("sft", made, "--out", out, "--resume", "--restart", says="expected one of them")
    refused("sft", made, "--out", out, "--restart", says="which --restart would lose; write --resume")
    refused(
        "sft", made, "--out", out, "--resume", "--set", "run.lr=1e-4", says=["lr was 0.001 and is 0.0001", "recipe"]
    )
    refused("sft", made, "--out", out, "--resume", "--set", "data.size=23", says="data: the training examples")
    refused("sft", made, "--out", out, "--resume", "--set", "run.steps=4", says="run.schedule=cosine has lowered")
    constant = recipe(name="constant.yaml", run={"steps": 2, "batch_size": 4, "lr": 1e-3, "schedule": "constant"})
    assert run("sft", constant, "--out", tmp_path / "longer").exit_code == 0
    longer = run("sft", constant, "--out", tmp_path / "longer", "--resume", "--set", "run.steps=4", "--json")
    assert longer.exit_code == 0
    assert "2 steps become 4" in longer.stderr
    assert json.loads(longer.stdout)["examples"] == 16


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("run.report_to=[wandbb]", "run.report_to: unknown tracker 'wandbb'; did you mean 'wandb'?"),
        ("run.report_to=[comet_ml]", "run.report_to: the tracker 'comet_ml' cannot be used here"),
        ("run.betas=[0.9,1.0]", "run.betas.1: expected less than 1, found 1.0"),
        ("run.betas=[-0.1,0.9]", "run.betas.0: expected at least 0, found -0.1"),
        ("run.seed=-1", "run.seed: expected at least 0, found -1"),
        ("run.seed=4294967296", "run.seed: expected less than 4294967296, found 4294967296"),
        ("data.held_out=24", "data.held_out: expected fewer than data.size=24, found 24"),
        ("model.from_scratch.hidden_size=4194304", "memory: training takes at least"),
        ("model.from_scratch.layers=1000000000", "memory: training takes at least"),
        ("run.batch_size=1000000000", "memory: training takes at least"),
    ],
)
def test_check_refuses_what_a_run_would_stop_at_and_a_run_begins_with_it(refused, recipe, tmp_path, assignment, says):
    made = recipe()
    refused("check", made, "--set", assignment, "--set", "data.canvas=64", says=says)
    refused("sft", made, "--out", tmp_path / "run", "--set", assignment, "--set", "data.canvas=64", says=says)
    assert not (tmp_path / "run").exists()


def test_check_counts_a_file_to_hold_out_from(refused, recipe, models, rows):
    file = rows(*({"prompt": "12=", "completion": "12"} for _ in range(250)))
    made = recipe(model={"path": models.digits}, data={"path": str(file), "held_out": 250})
    refused("check", made, says="data.held_out: expected fewer than the 250 rows there are, found 250")
