"""One run of a study, in this process: what it leaves behind, and that a death half-way changes nothing."""

import json

import pytest

from unmask.study import judge as judging
from unmask.study.api import plan
from unmask.study.grid import at_rate, judged_bases, reported_runs, tuning_runs
from unmask.study.judge import problems_of
from unmask.study.worker import work


@pytest.fixture
def prepared(values, tmp_path):
    """Write the job of the blockwise arm's first seed into a folder of the given name."""

    def prepare(name, run=None):
        made = plan(values, tmp_path / name)
        run = run or at_rate(reported_runs(made.study, list(made.cells))[1], 1e-3)
        job = made.job(run)
        job.folder.mkdir(parents=True)
        (job.folder / "job.json").write_text(json.dumps({**job.values, "fingerprint": job.fingerprint}, default=str))
        return job.folder

    return prepare


def without_time(points):
    for point in points:
        point.pop("seconds")
        for row in point["decoders"].values():
            row.pop("seconds")
    return points


def test_a_run_that_died_goes_on_and_ends_as_if_it_had_not(prepared, monkeypatch):
    whole = prepared("whole")
    work(whole)
    expected = json.loads((whole / "result.json").read_text())
    assert [point["steps"] for point in expected["points"]] == [2, 4]
    assert [len(row["right"]) for row in expected["points"][0]["decoders"].values()] == [6, 6]
    assert expected["arm"] == "blockwise"
    assert expected["problems"] == 6
    assert (whole / "train/model/config.json").exists()  # the first seed's model is kept
    assert not (whole / "train/checkpoints").exists()

    died = prepared("died")
    real, calls = judging.judge, []

    def dies_at_the_second(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(judging, "judge", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        work(died)
    assert not (died / "result.json").exists()
    monkeypatch.setattr(judging, "judge", lambda *arguments: calls.append(1) or real(*arguments))
    work(died)
    assert len(calls) == 3, "the first point was judged once"
    result = json.loads((died / "result.json").read_text())
    assert without_time(result["points"]) == without_time(expected["points"])


def test_judging_is_no_part_of_the_seconds(prepared, monkeypatch):
    real = judging.judge
    folder = prepared("slow")

    def slow(*arguments):
        judging.time.sleep(1.5)
        return real(*arguments)

    monkeypatch.setattr(judging, "judge", slow)
    work(folder)
    result = json.loads((folder / "result.json").read_text())
    total = json.loads((folder / "train/metrics.jsonl").read_text().splitlines()[-1])["seconds"]
    assert result["judging_seconds"] > 3
    assert result["points"][-1]["seconds"] == pytest.approx(total - result["judging_seconds"])


def test_a_trial_is_judged_once_on_problems_of_its_own(prepared, values, tmp_path):
    values["rates"] = [1e-3, 2e-3]
    made = plan(values, tmp_path / "any")
    folder = prepared("trial", tuning_runs(made.study, list(made.cells))[3])
    work(folder)
    result = json.loads((folder / "result.json").read_text())
    assert [(point["steps"], list(point["decoders"])) for point in result["points"]] == [(4, ["blocks"])]
    assert result["problems"] == 3
    assert result["rate"] == 2e-3
    assert not (folder / "train/model").exists()


def test_validation_and_test_problems_do_not_overlap(values, tmp_path):
    section = plan(values, tmp_path / "any").cells[0].judge
    validation, test = (problems_of(section, which) for which in ("validation", "test"))
    assert (len(validation), len(test)) == (3, 6)
    assert not {p.key for p in validation} & {p.key for p in test}


def test_the_base_is_judged_by_every_decoder(prepared, values, tmp_path):
    values["evaluate"]["bound"] = {"examples": 2, "samples": 2, "block_size": 7}
    made = plan(values, tmp_path / "any")
    folder = prepared("base", judged_bases(list(made.cells))[0])
    work(folder)
    result = json.loads((folder / "result.json").read_text())
    assert set(result["decoders"]) == {"blocks", "full canvas"}
    assert len(result["bounds"]["nats"]["by_block"]) == 2
    lines = (folder / "points/answers/0.jsonl").read_text().splitlines()
    assert [json.loads(line)["is_right"] for line in lines] == [
        bool(right) for right in result["decoders"]["blocks"]["right"]
    ]
