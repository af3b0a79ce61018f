"""One study in a folder, and one process at work on it."""

import json
import signal

import pytest

from unmask.errors import UserError
from unmask.study.folder import claimed
from unmask.study.pool import Crew, Job
from unmask.study.rates import best_rate, is_at_edge, trials_of


def test_the_same_study_may_go_on_and_another_is_refused(tmp_path):
    out = tmp_path / "study"
    with claimed(out, "one", {"question": "?"}):
        pass
    with claimed(out, "one", {"question": "?"}):
        pass
    with pytest.raises(UserError, match="holds another study"), claimed(out, "two", {}):
        pass
    assert json.loads((out / "study.json").read_text())["recipe"] == {"question": "?"}


def test_two_at_a_time_are_refused(tmp_path):
    out = tmp_path / "study"
    with claimed(out, "one", {}), pytest.raises(UserError, match="in use by process"), claimed(out, "one", {}):
        pass


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty and holds no study"), claimed(tmp_path, "one", {}):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_broken_study_file_is_told(tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UserError, match="expected what a study wrote"), claimed(tmp_path, "one", {}):
        pass


def job(tmp_path, mark="m", model="nowhere"):
    evaluate = {"task": "sorting", "problems": 2, "max_new_tokens": 28, "decoder": {"block_size": 7, "steps": 4}}
    values = {"kind": "judge", "model": model, "which": "test", "about": {}, "evaluate": evaluate}
    return Job(folder=tmp_path / "job", fingerprint=mark, values=values)


def test_a_result_of_other_settings_is_not_taken_for_this_ones(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps({"fingerprint": "other"}))
    (folder / "result.json").write_text("{}")
    with pytest.raises(UserError, match="holds a run with other settings"):
        Crew(1).run([job(tmp_path)], "runs")


def test_a_job_that_fails_is_told_with_its_reason(tmp_path):
    failed = r"job: the run failed: .*start the study again to go on"
    with Crew(1) as crew, pytest.raises(UserError, match=failed) as error:
        crew.run([job(tmp_path, model=str(tmp_path / "nowhere"))], "runs")
    assert "nowhere" in str(error.value)
    assert not (tmp_path / "job" / "result.json").exists()


def test_a_worker_that_is_killed_is_told_and_replaced(tmp_path):
    first, second = (job(tmp_path / name, model="asset:quickstart/model") for name in ("first", "second"))
    with Crew(1) as crew:
        crew.run([first], "runs")

        def kill(*_):
            for process in crew._at_work:
                process.kill()

        with pytest.raises(UserError, match="killed by signal 9"):
            crew.run([second], "runs", follow=kill)
        crew.run([second], "runs")
    assert second.is_done


def test_leaving_ends_the_processes_that_are_at_work(tmp_path):
    seen = []

    def leave(*_):
        seen.extend(crew._at_work)
        if seen:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Crew(1) as crew:
        crew.run([job(tmp_path, model="asset:quickstart/model")], "runs", follow=leave)
    assert [process.exitcode for process in seen] == [-signal.SIGKILL]


def trial(rate, *accuracies):
    point = {"decoders": {str(i): {"accuracy": accuracy} for i, accuracy in enumerate(accuracies)}}
    return {"cell": "all", "arm": "a", "rate": rate, "path": "p", "points": [{"decoders": {}}, point]}


def test_the_best_rate_is_that_of_the_best_mean_at_the_end():
    found = trials_of([trial(3e-3, 0.2, 0.9), trial(1e-3, 0.6, 0.6), trial(2e-3, 0.8, 0.2)])["all", "a"]
    assert [row["rate"] for row in found] == [1e-3, 2e-3, 3e-3]
    assert best_rate(found) == 1e-3
    assert is_at_edge(found)
    assert not is_at_edge(trials_of([trial(1e-3, 0.1), trial(2e-3, 0.2), trial(3e-3, 0.1)])["all", "a"])
