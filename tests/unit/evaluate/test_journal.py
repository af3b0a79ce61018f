"""Runs on disk: killed, gone on with, refused, repeated."""

import json
from dataclasses import replace

import pytest

from unmask.config.components import fill
from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate import (
    Answer,
    Journal,
    check_folder,
    check_record,
    compare,
    differences,
    evaluate,
    open_journal,
    read_answers,
    read_run,
    settings_of,
)
from unmask.evaluate.record import described, made_with
from unmask.evaluate.repeat import check_repeatable
from unmask.models import ScratchSpec, from_scratch
from unmask.tasks import Sorting

TASK = Sorting(shortest=3, longest=6)
PROBLEMS = TASK.problems("test", 7, 0)
DECODER = Decoder(temperature=1.0, block_size=4, steps=4)
NUMBERS = {"max_new_tokens": 8, "samples": 2, "seed": 3}


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def lm():
    return from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1, seed=5), device="cpu")


def described_run(lm, decoder=DECODER, **changes):
    numbers = {**NUMBERS, "batch_size": 4, "size": 7, **changes}
    return settings_of(lm, TASK, PROBLEMS, decoder=decoder, model="mine", split="test", **numbers)


def run(lm, folder, *, resume=False, on_batch=None, batch_size=4):
    journal = open_journal(folder, described_run(lm), "cpu", resume=resume)
    found = evaluate(
        lm, TASK, PROBLEMS, decoder=DECODER, journal=journal, on_batch=on_batch, batch_size=batch_size, **NUMBERS
    )  # fmt: skip
    return found, journal.finish(found, "cpu")


def killed_at(count):
    def on_batch(done):
        if done >= count:
            raise KilledError

    return on_batch


def test_a_killed_run_goes_on_and_gives_what_it_would_have_given(lm, tmp_path):
    whole, kept = run(lm, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(lm, tmp_path / "killed", on_batch=killed_at(8))
    part = tmp_path / "killed/answers-0.jsonl"
    assert len(part.read_text().splitlines()) == 8
    part.write_bytes(part.read_bytes()[:-30])  # the kill came in the middle of a line
    done = []
    again, kept_again = run(lm, tmp_path / "killed", resume=True, on_batch=done.append, batch_size=3)
    assert done == [10, 13, 14]  # the seven that were whole are not decoded again
    assert [(a.prompt, a.sample, a.text) for a in again.answers] == [
        (a.prompt, a.sample, a.text) for a in whole.answers
    ]
    assert kept_again["answers"] == kept["answers"]
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["answers.jsonl", "run.json"]
    assert [a.text for a in read_answers(tmp_path / "killed")] == [a.text for a in whole.answers]
    finished, _ = run(lm, tmp_path / "killed", resume=True, on_batch=killed_at(0))  # nothing left to decode
    assert finished.answers == again.answers


def test_a_run_is_killed_again_and_again(lm, tmp_path):
    whole, _ = run(lm, tmp_path / "whole")
    part = tmp_path / "killed/answers-0.jsonl"
    with pytest.raises(KilledError):
        run(lm, tmp_path / "killed", on_batch=killed_at(4))
    part.write_bytes(part.read_bytes()[:-30])
    with pytest.raises(KilledError):  # its lines must not be glued to the one that was cut off
        run(lm, tmp_path / "killed", resume=True, on_batch=killed_at(6))
    done = []
    again, _ = run(lm, tmp_path / "killed", resume=True, on_batch=done.append)
    assert done == [11, 14]
    assert [answer.text for answer in again.answers] == [answer.text for answer in whole.answers]


def test_other_settings_are_not_resumed(lm, tmp_path):
    run(lm, tmp_path / "run")
    for change, words in (
        ({"seed": 4}, "seed was 3 and is 4"),
        ({"max_new_tokens": 12}, "max_new_tokens was 8 and is 12"),
    ):
        with pytest.raises(UserError, match=f"not the evaluation that it holds: {words}"):
            open_journal(tmp_path / "run", described_run(lm, **change), "cpu", resume=True)
    other = described_run(lm, decoder=replace(DECODER, steps=8))
    with pytest.raises(UserError, match=r"decoder\.steps was 4 and is 8"):
        open_journal(tmp_path / "run", other, "cpu", resume=True)
    stranger = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1, seed=6), device="cpu")
    with pytest.raises(UserError, match="weights was"):
        open_journal(tmp_path / "run", described_run(stranger), "cpu", resume=True)
    open_journal(tmp_path / "run", described_run(lm, batch_size=1), "cpu", resume=True)


def test_lines_that_are_not_ours(lm, tmp_path):
    run(lm, tmp_path / "run")
    path = tmp_path / "run/answers.jsonl"
    good = path.read_text()
    path.write_text(good + '{"run": "x", "place": 1}\n')
    with pytest.raises(UserError, match=r"answers.jsonl:15: expected an answer of an evaluation"):
        read_answers(tmp_path / "run")
    path.write_text(good.replace(read_run(tmp_path / "run")["fingerprint"], "0" * 16, 1))
    with pytest.raises(UserError, match=r"answers.jsonl:1: expected answers of run \w+, found one of 0000"):
        open_journal(tmp_path / "run", described_run(lm), "cpu", resume=True)


def test_folders(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}")
    for name, words in (
        ("file", "expected a folder, found a file"),
        ("full", "expected a new or empty folder"),
        ("run", "write --resume to go on"),
    ):
        with pytest.raises(UserError, match=words):
            check_folder(tmp_path / name)
    with pytest.raises(UserError, match="cannot be written"):
        check_folder(tmp_path / "file/below")
    with pytest.raises(UserError, match="no evaluation to resume"):
        check_folder(tmp_path / "new", resume=True)
    check_folder(tmp_path / "new/deep")
    assert not list((tmp_path / "new/deep").iterdir())


def test_a_run_made_again(lm, tmp_path):
    found, kept = run(lm, tmp_path / "run")
    made = made_with("cpu")
    again = compare(tmp_path / "run", kept, found, made)
    assert again.is_same
    assert not again.different
    assert not again.made_otherwise
    changed = [replace(found.answers[0], text="other"), *found.answers[1:]]
    made["versions"]["torch"] = "9.9"
    again = compare(tmp_path / "run/run.json", kept, replace(found, answers=changed), made)
    assert not again.is_same
    assert again.different == [PROBLEMS[0].source]
    assert len(again.made_otherwise) == 1
    assert again.made_otherwise[0].endswith('and is "9.9"')


def test_what_is_no_repetition(lm, tmp_path):
    found, _ = run(lm, tmp_path / "run")
    path = tmp_path / "run/run.json"
    kept = read_run(path)
    check_repeatable(path, kept, described_run(lm))
    stranger = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1, seed=6), device="cpu")
    with pytest.raises(UserError, match=r"would not be the same run: .*weights was"):
        check_repeatable(path, kept, described_run(stranger))
    with pytest.raises(UserError, match="problems_hash was"):
        check_repeatable(path, {**kept, "settings": {**kept["settings"], "problems_hash": "x"}}, described_run(lm))
    with pytest.raises(UserError, match="expected a finished run"):
        check_record(path, {name: kept[name] for name in kept if name != "answers"})
    for text, words in (
        ("nonsense", "found no JSON"),
        ("[]", "found other JSON"),
        (json.dumps({**kept, "format": 99}), r"written by a newer unmask \(format 99"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            read_run(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_run(tmp_path / "none")
    assert isinstance(found.answers[0], Answer)


@pytest.mark.parametrize(
    "decoder",
    [
        Decoder(),
        Decoder(threshold=0.8, blocks="whole", cache="none"),
        Decoder(proposal={"name": "no_eos", "inner": {"name": "nucleus", "top_p": 0.9, "temperature": 0.5}}),
        Decoder(selection={"name": "entropy_bound"}, view={"name": "cfg", "scale": 1.5}, stop="never"),
    ],
)
def test_decoders_are_made_again_from_what_is_written(decoder):
    parts = decoder.resolve(trained_block_size=16)
    written = json.loads(json.dumps(described(parts)))
    assert fill(Decoder, written).resolve() == parts


def test_differences_name_the_place():
    before, now = {"a": {"b": 1, "c": 2}, "batch_size": 3, "d": [1]}, {"a": {"b": 1}, "batch_size": 4, "d": [2]}
    assert differences(before, now) == ["a.c was 2 and is null", "d was [1] and is [2]"]


def test_answers_with_other_ends_of_lines_and_cut_letters_are_read_back(tmp_path):
    answers = [
        Answer(source="p", prompt="", text=text, expected="", is_right=False, problem=i)
        for i, text in enumerate(["a\u2028b", "a\x85b\x0cc\rd", "é"])
    ]
    journal = Journal(folder=tmp_path, settings={"seed": 0})
    journal.append(answers)
    assert read_answers(tmp_path) == answers
    part = tmp_path / "answers-0.jsonl"
    whole = part.read_bytes()
    part.write_bytes(whole[: whole.rindex("é".encode()) + 1])  # the file of a process that is no more
    assert read_answers(tmp_path) == answers[:2]
