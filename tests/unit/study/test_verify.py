"""Published studies: what does not follow from the outcomes is named, file by file."""

import json
import shutil
from pathlib import Path

import pytest

from unmask.errors import UserError
from unmask.study import check_common, compare_outcomes, publish, read_published
from unmask.study.verify import read_result

REAL = Path(__file__).parents[3] / "docs/results/real-weights"
RUN = "runs/all/vanilla/seed-0/result.json"


@pytest.fixture
def published(tmp_path):
    """A study that was published before reports held hashes."""
    return shutil.copytree(REAL, tmp_path / "study")


def change(folder, name, work):
    file = folder / name
    values = json.loads(file.read_text())
    work(values)
    file.write_text(json.dumps(values))


def test_what_was_published_before_is_read_and_what_it_lacks_is_unknown(published):
    found = read_published(published, ("seeds=[0]",))
    assert list(found.runs) == [f"runs/all/{arm}/seed-0" for arm in ("blockwise", "vanilla")]
    assert found.unknown == ["hashes of the results", "intervals by the method of this version"]
    assert found.values["seeds"] == [0]
    (published / "summary.json").unlink()
    assert read_published(published).unknown == ["figures of the report, as there is none"]


def last(work):
    def on(result):
        point = result["points"][-1]
        work(point, next(iter(point["decoders"].values())))

    return on


CHANGES = {
    "an outcome": (RUN, last(lambda _, row: row["right"].__setitem__(0, 1 - row["right"][0])), "its accuracy is"),
    "an accuracy": (RUN, last(lambda _, row: row.update(accuracy=0.5)), "its outcomes' is"),
    "half an outcome": (RUN, last(lambda _, row: row["right"].__setitem__(0, 0.5)), "expected outcomes of 1 or 0"),
    "one less": (RUN, last(lambda _, row: row["right"].pop()), "expected outcomes of"),
    "no number": (RUN, last(lambda _, row: row.update(forwards=float("nan"))), "expected a number as forwards"),
    "less spent": (RUN, last(lambda point, _: point.update(flops=-1)), "expected flops of at least"),
    "no points": (RUN, lambda result: result.update(points=[]), "expected a rate and judged points"),
    "other points": (RUN, lambda result: result.update(points=[1]), "expected the result of a run"),
    "no problems": (RUN, lambda result: result.pop("problems"), "expected the result of a run"),
    "another place": (
        RUN,
        lambda result: result.update(path="runs/all/blockwise/seed-0"),
        "expected the result of this",
    ),
    "another seed": (RUN, lambda result: result.update(seed=1), "expected a run of the recipe in study.json"),
    "another recipe": (RUN, lambda result: result["recipe"]["run"].update(steps=7), "expected a run of the recipe"),
    "the study": ("study.json", lambda kept: kept["recipe"]["evaluate"].update(problems=9), "its recipe was changed"),
    "its hash": ("study.json", lambda kept: kept.update(fingerprint="0" * 16), "its recipe was changed"),
    "no recipe": ("study.json", lambda kept: kept.update(recipe=[]), "expected a study's recipe, found none"),
    "a difference": ("summary.json", lambda kept: kept["comparisons"][-1].update(difference=0.3), "comparisons.3.diff"),
    "a p value": ("summary.json", lambda kept: kept["comparisons"][-1].update(p=1e-6), "comparisons.3.p: expected"),
    "a mean": ("summary.json", lambda kept: kept["comparisons"][0].update(accuracy=1.0), "comparisons.0.accuracy"),
    "a cost": ("summary.json", lambda kept: kept["costs"][0].update(flops=1.0), "costs.0.flops"),
    "the reference": ("summary.json", lambda kept: kept.update(reference="blockwise"), "reference: expected 'vanilla'"),
    "no rows": ("summary.json", lambda kept: kept.update(comparisons={}), "comparisons: expected"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_is_named(published, what):
    name, work, words = CHANGES[what]
    change(published, name, work)
    with pytest.raises(UserError) as error:
        read_published(published)
    assert words in str(error.value)
    assert str(published / name) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000, '{"points": ', b"\xff\xfe"])
@pytest.mark.parametrize("name", [RUN, "study.json", "summary.json"])
def test_damaged_files_are_one_line(published, name, text):
    (published / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match="expected what a study wrote, found something else"):
        read_published(published)


def test_results_have_hashes_in_the_report_once_it_is_of_this_version(published, tmp_path):
    from unmask.evaluate.verify import hash_of

    files = [RUN, "runs/all/base/result.json"]
    hashes = {str(Path(name).parent): hash_of(published / name) for name in files}
    change(published, "summary.json", lambda kept: kept.update(results=hashes))
    assert "hashes of the results" not in read_published(published).unknown
    (published / "report.html").touch()
    publish(published, tmp_path / "there")
    assert read_published(tmp_path / "there").unknown == ["intervals by the method of this version"]
    (published / RUN).write_text((published / RUN).read_text() + "\n")
    for work in (lambda: read_published(published), lambda: publish(published, tmp_path / "other")):
        with pytest.raises(UserError, match=r"seed-0/result.json: was changed after the report"):
            work()
    assert not (tmp_path / "other").exists()
    (published / RUN).unlink()
    with pytest.raises(UserError, match="expected the result that was reported on, found no file"):
        publish(published, tmp_path / "there")
    assert read_published(tmp_path / "there"), "what was there is not deleted"


def test_a_repetition_without_a_common_run_is_refused_before_it_runs(published):
    found = read_published(published)
    check_common(found, ["runs/all/vanilla/seed-0", "runs/all/vanilla/seed-9"])
    with pytest.raises(UserError, match=r"found none of them planned; write seeds among \[0\]"):
        check_common(found, ["runs/all/vanilla/seed-9"])
    with pytest.raises(UserError, match="found none of them"):
        compare_outcomes(found, [])


def test_texts_beside_a_result_have_its_verdicts(published):
    result = read_result(published / RUN)
    right = next(iter(result["points"][-1]["decoders"].values()))["right"]
    texts = published / Path(RUN).parent / "points/answers/0.jsonl"
    texts.parent.mkdir(parents=True)

    def lines(verdicts):
        return "".join(json.dumps({"text": "x", "is_right": bool(value)}) + "\n" for value in verdicts)

    texts.write_text(lines(right))
    assert read_published(published)
    for text in (lines(right[:-1]), lines([1 - right[0], *right[1:]]), "{}\n", "x\n", "[" * 100_000):
        texts.write_text(text)
        with pytest.raises(UserError, match=r"answers/0.jsonl: expected"):
            read_published(published)
