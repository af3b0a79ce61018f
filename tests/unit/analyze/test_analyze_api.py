"""Everything at once: tables that fit together, on disk and as JSON."""

import csv
import json

import pytest
from subjects import Knows, LoadedUniform, examples, many

from unmask.analyze import Study, Subject, analysis_rows, analyze, check_out
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch

STUDY = Study(bins=2, ratios=(0.5, 1.0), passes=2, batch_size=4)


def subject(name="a", lm=None, data=None):
    return Subject(name=name, lm=lm or LoadedUniform(), examples=data or many(6))


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_models_on_disk_and_as_json(tmp_path):
    done = []
    subjects = [subject("before"), subject("after", Knows(known=(1, 9)))]
    found = analyze(subjects, STUDY, block_size=4, most_tokens=3, on_rows=done.append)
    assert done[-1] == analysis_rows(2, 6, STUDY, with_mismatch=False) == 2 * 6 * 3
    assert done == sorted(done)
    files = found.write(tmp_path / "new")
    assert [path.name for path in files] == ["learnability.csv", "tokens.csv", "changes.csv"]
    rows, tokens, changes = (read(path) for path in files)
    assert [(r["model"], r["bin"], r["ratio"]) for r in rows] == [
        (model, place, t) for model in ("before", "after") for place in "12" for t in ("0.5", "1.0")
    ]
    assert len(tokens) == 2 * 3 * 2
    assert len(changes) == 4
    assert float(changes[1]["gold"]) == pytest.approx(float(rows[5]["gold"]) - float(rows[1]["gold"]))
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["models"] == ["before", "after"]
    assert told["tokens_in_answers"] == sum(len(e.answer) for e in many(6))
    assert sum(row["occurrences"] for row in told["bins"]) == told["tokens_in_answers"]
    assert [row["count"] for row in told["totals"]][1] == told["tokens_in_answers"]
    assert len(told["learnability"]) == len(rows)


def test_mismatch_is_measured_if_asked():
    lm, done = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1)), []
    found = analyze([subject(lm=lm)], STUDY, block_size=4, with_mismatch=True, on_rows=done.append)
    assert done[-1] == analysis_rows(1, 6, STUDY, with_mismatch=True)
    assert [row["context"] for row in found.contexts][::5] == ["aligned", "prefix_noise", "suffix_visibility"]
    assert "mismatch" in found.as_dict()
    assert analyze([subject()], STUDY, block_size=4).tables().keys() == {"learnability", "tokens"}


def test_a_cell_without_tokens_is_empty_not_zero(tmp_path):
    study = Study(bins=2, ratios=(1e-9, 1.0), passes=1)
    found = analyze([subject(), subject("b")], study, block_size=4)
    row = read(found.write(tmp_path / "new")[0])[0]
    assert (row["count"], row["gold"], row["information"]) == ("0", "", "")
    assert found.changes[0]["nll"] is None


def test_models_must_read_the_same_answers():
    with pytest.raises(UserError, match="found that a reads 6 and b 1; compare models of one tokenizer"):
        analyze([subject(), subject("b", data=examples([1, 2]))], STUDY, block_size=4)
    other = many(6)
    other[2] = examples([1, 2, 3])[0]
    with pytest.raises(UserError, match="row 2: expected the same answer tokens for both models"):
        analyze([subject(), subject("b", data=other)], STUDY, block_size=4)


def test_prompts_may_differ():
    """Each model reads its own template; only the answers are compared."""
    data = [type(e)(prompt=[3, 3, 3], answer=e.answer, source=e.source) for e in many(6)]
    found = analyze([subject(), subject("b", data=data)], STUDY, block_size=4)
    assert [row["gold"] for row in found.changes] == [0.0] * 4


def test_folders_are_checked_first(tmp_path):
    check_out(tmp_path / "deep" / "new")
    assert (tmp_path / "deep" / "new").is_dir()
    check_out(tmp_path / "deep" / "new")
    (tmp_path / "file").write_text("")
    for path, says in (
        (tmp_path, "is not empty"),
        (tmp_path / "file", "found a file"),
        (tmp_path / "file/x", "cannot"),
    ):
        with pytest.raises(UserError, match=says):
            check_out(path)
