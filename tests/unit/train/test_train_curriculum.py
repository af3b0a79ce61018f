"""A run under a curriculum: what it reads, and that a killed one goes on bit for bit."""

import json
import shutil

import pytest
import torch

from unmask.data import CurriculumSampler, into_buckets
from unmask.data.curriculum import Classic, Gaussian
from unmask.errors import UserError
from unmask.models import load
from unmask.objectives import Blockwise
from unmask.recipes.recipe import build
from unmask.recipes.run import run_recipe
from unmask.train import TrainRun, train

STEPS, ROWS = 6, 4
SEEN = []


class Watching(Blockwise):
    """Notes the length of every answer that it is given."""

    def noise(self, batch, **rest):
        SEEN.extend(batch.text_length.tolist())
        return super().noise(batch, **rest)


def settings(**changed):
    return TrainRun(**{"objective": Watching(block_size=4), "steps": STEPS, "batch_size": ROWS, "lr": 1e-2, **changed})


@pytest.fixture
def lengths(tiny, sorting, tmp_path):
    """Train; return the lengths of the answers in the order in which they were read."""

    def lengths(name, **options):
        SEEN.clear()
        train(tiny(), sorting, out=tmp_path / name, show=False, **options)
        return list(SEEN)

    return lengths


def test_the_model_reads_what_the_curriculum_says(lengths, sorting):
    seen = lengths("a", run=settings(), curriculum=Classic(buckets=2))
    drawn = CurriculumSampler(Classic(), into_buckets(sorting, Classic(buckets=2)), length=STEPS * ROWS, seed=0)
    assert seen == [len(sorting[drawn(order)].answer) for order in range(STEPS * ROWS)]
    middle = sorted(len(example.answer) for example in sorting)[len(sorting) // 2]
    assert max(seen[: STEPS * ROWS // 2]) <= middle <= min(seen[STEPS * ROWS // 2 :])


def test_the_order_does_not_depend_on_how_it_is_cut_into_steps(lengths):
    whole = lengths("a", run=settings(), curriculum=Gaussian())
    assert lengths("b", run=settings(batch_size=ROWS // 2, accumulate=2), curriculum=Gaussian()) == whole
    assert lengths("c", run=settings(steps=STEPS // 2, accumulate=2), curriculum=Gaussian()) == whole
    assert lengths("d", run=settings()) != whole


def test_a_killed_run_goes_on_bit_for_bit(tiny, sorting, tmp_path):
    run = settings(save_every=3)
    whole = train(tiny(), sorting, run, out=tmp_path / "whole", curriculum=Gaussian(), show=False)
    train(tiny(), sorting, run, out=tmp_path / "cut", curriculum=Gaussian(), show=False)
    shutil.rmtree(tmp_path / "cut/checkpoints/checkpoint-6")
    shutil.rmtree(tmp_path / "cut/model")
    SEEN.clear()
    again = train(tiny(), sorting, run, out=tmp_path / "cut", curriculum=Gaussian(), resume=True, show=False)
    assert len(SEEN) == 3 * ROWS
    ours, theirs = (dict(load(str(result.model)).model.named_parameters()) for result in (again, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_another_curriculum_is_not_resumed(tiny, sorting, tmp_path):
    run = settings(steps=1)
    train(tiny(), sorting, run, out=tmp_path / "a", curriculum=Gaussian(), show=False)
    kept = json.loads((tmp_path / "a/run.json").read_text())["settings"]["curriculum"]
    assert kept == {
        "name": "gaussian", "by": "length", "buckets": None, "order": None, "mu_exp": 0.5, "sigma": 0.5,
        "min_prob": True,
    }  # fmt: skip
    for other in (Gaussian(sigma=1), Gaussian(buckets=3), Classic(), None):
        with pytest.raises(UserError, match="not the run that it holds: curriculum was {'name': 'gaussian', "):
            train(tiny(), sorting, run, out=tmp_path / "a", curriculum=other, resume=True, show=False)
    train(tiny(), sorting, run, out=tmp_path / "a", curriculum=Gaussian(), resume=True, show=False)


def test_a_file_is_read_with_its_difficulty(tiny, tmp_path):
    data = tmp_path / "x.jsonl"
    rows = [{"prompt": f"{d}=", "completion": "7" * (1 + d), "grade": -d} for d in range(6)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    SEEN.clear()
    curriculum = Classic(by="grade", buckets=6)
    train(tiny(), data, settings(batch_size=1), out=tmp_path / "run", curriculum=curriculum, show=False)
    assert SEEN == [7, 6, 5, 4, 3, 2]  # with the end of each; what is longest is graded easiest


def test_a_recipe_hands_its_curriculum_on(tmp_path):
    recipe = build(
        {
            "model": {"from_scratch": {"hidden_size": 16, "layers": 1, "heads": 1}},
            "data": {"task": {"name": "sorting", "shortest": 2}, "size": 20, "curriculum": "cosine"},
            "run": {"steps": 1, "batch_size": 2},
        }
    )
    run_recipe(recipe, tmp_path / "run", show=False)
    assert json.loads((tmp_path / "run/run.json").read_text())["settings"]["curriculum"]["name"] == "cosine"


def test_what_cannot_be_ranked_leaves_no_folder(tiny, sorting, tmp_path):
    for data, message in ((sorting, "expected examples with a difficulty from 'grade'"), ([], "at least one example")):
        with pytest.raises(UserError, match=message):
            train(tiny(), data, settings(), out=tmp_path / "run", curriculum=Gaussian(by="grade"), show=False)
        assert not (tmp_path / "run").exists()
