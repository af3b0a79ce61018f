"""Traces: what is written can be read back and replayed to the text that came out."""

import json

import pytest
import torch

from unmask.core.attention import BIDIRECTIONAL, Columns
from unmask.core.query import Query
from unmask.errors import UserError
from unmask.generate import generate, infill, resolve_decoder
from unmask.models import ScratchSpec, from_scratch
from unmask.tracing.record import describe, read_trace, record

SPEC = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3)


@pytest.fixture(scope="module")
def lm():
    return from_scratch(SPEC)


def kept(lm, path, **options):
    out = generate(lm, options.pop("prompts", "12="), stop="never", through=lambda s: record(s, lm, path), **options)
    return out, read_trace(path)


def replayed(trace, row=0):
    cells = trace.frames(row)[-1].cells
    return [cells[offset].id for offset in range(trace.canvas(row))]


def test_a_line_for_each_forward_and_row(lm, tmp_path):
    out, trace = kept(lm, tmp_path / "t.jsonl", prompts=["12=", "3"], max_new_tokens=6, block_size=3, steps=4)
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert len(lines) == 1 + 4 * 2
    assert [(line["index"], line["row"]) for line in lines[1:]] == [(i, r) for i in range(4) for r in (0, 1)]
    assert [line["block"] for line in lines[1:]] == [[0, 3]] * 4 + [[3, 6]] * 4
    for row in (0, 1):
        assert replayed(trace, row) == out.answers[row].tolist()
        assert trace.prompt(row) == ["12=", "3"][row]
    assert lines[0]["mask_id"] == lm.mask_id
    assert set(lines[0]["versions"]) == {"python", "unmask", "torch", "transformers"}


def test_probabilities_are_those_of_the_model_whatever_the_score_and_the_temperature(lm, tmp_path):
    options = {
        "max_new_tokens": 4,
        "block_size": 4,
        "temperature": 1.0,
        "selection": {"name": "quota", "score": "entropy"},
    }
    out, trace = kept(lm, tmp_path / "t.jsonl", **options)
    ids = torch.tensor([[*out.sequences[0][:3].tolist(), *[lm.mask_id] * 4]])
    place = torch.arange(7)[None]
    columns = Columns(position=place, segment=place * 0, block=place * 0, stream=place * 0)
    for frame in trace.frames():
        (offset,) = frame.fresh
        cell = frame.cells[offset]
        with torch.inference_mode():
            logits = lm.logits(Query(ids=ids, columns=columns, rule=BIDIRECTIONAL), torch.tensor([[0, 3 + offset]]))
            probability = float(logits[0].softmax(-1)[cell.id])
        assert cell.probability == pytest.approx(probability, abs=1e-5)
        ids[0, 3 + offset] = cell.id


def test_given_tokens_are_in_the_header_and_never_change(lm, tmp_path):
    path = tmp_path / "t.jsonl"
    infill(lm, "12=___34___5", blank_tokens=3, block_size=4, through=lambda steps: record(steps, lm, path))
    trace = read_trace(path)
    assert [given["text"] for given in trace.header["rows"][0]["given"]] == ["3", "4", "5"]
    for frame in trace.frames():
        assert "".join(frame.cells[offset].text for offset in (3, 4, 8)) == "345"
        assert all(frame.cells[offset].probability is None for offset in (3, 4, 8))
        assert not {3, 4, 8} & {*frame.fresh}


def test_tokens_that_are_taken_back_are_told(tmp_path):
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.5, seed=1))
    revision = {"name": "edit", "threshold": 0.0}
    out, trace = kept(lm, tmp_path / "t.jsonl", max_new_tokens=8, block_size=8, threshold=0.05, revision=revision)
    assert replayed(trace) == out.answers[0].tolist()
    assert any(frame.taken_back for frame in trace.frames())


def test_a_row_that_ends_early_has_places_that_nobody_wrote(lm, tmp_path):
    path = tmp_path / "t.jsonl"
    full = generate(lm, "12=", max_new_tokens=8, block_size=2, stop="never")
    generate(
        lm, "12=", max_new_tokens=8, block_size=2, stop_strings=full.texts[0][0], stop="never",
        through=lambda steps: record(steps, lm, path),
    )  # fmt: skip
    assert set(read_trace(path).frames()[-1].cells) == {0, 1}


def test_a_resampled_row_goes_on_with_the_text_of_another(tmp_path):
    header = {"unmask_trace": 1, "eos_ids": [9], "block_size": 2, "mask_id": 8, "rows": [
        {"prompt": "", "prompt_ids": [], "canvas": 2, "given": []}] * 2}  # fmt: skip

    def line(index, row, offset, text, continues):
        return {"index": index, "row": row, "block": [0, 2], "offsets": [offset], "ids": [1], "texts": [text],
                "probabilities": [0.5], "taken_back": [], "continues": continues}  # fmt: skip

    lines = [header, line(0, 0, 0, "a", 1), line(0, 1, 0, "b", 0), line(1, 0, 1, "c", 0), line(1, 1, 1, "d", 1)]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    trace = read_trace(path)
    assert [[cell.text for cell in trace.frames(row)[-1].cells.values()] for row in (0, 1)] == [["b", "c"], ["a", "d"]]
    assert [frame.cells[0].text for frame in trace.frames(0)] == ["b", "b"]


def test_a_decoder_is_described_by_names_and_fields(lm):
    told = describe(resolve_decoder(lm, None, {"threshold": 0.9, "proposal": "no_eos"}, stop_strings=["a"]))
    assert told["selection"] == {"name": "threshold", "threshold": 0.9, "score": "low_confidence", "strict": None}
    assert told["proposal"]["name"] == "no_eos"
    assert told["proposal"]["inner"] == {"name": "greedy"}
    assert told["stop"] == {"strings": ["a"], "other": {"name": "eos"}}
    json.dumps(told)


NOT_TRACES = {
    "no JSON": ("hello", "expected a trace, JSON Lines, found something else"),
    "empty": ("", "expected a trace, JSON Lines, found something else"),
    "no header": ('{"loss": 1}', r"t.jsonl:1: expected the header of a trace; write"),
    "newer": ('{"unmask_trace": 99}', "written by a newer unmask .format 99"),
    "no forward": (
        '{"unmask_trace": 1, "rows": [], "eos_ids": [], "block_size": 4}\n{"index": 0}',
        "t.jsonl:2: expected a forward with block, continues",
    ),
}


@pytest.mark.parametrize(("text", "says"), NOT_TRACES.values(), ids=NOT_TRACES)
def test_other_files_are_refused(tmp_path, text, says):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        read_trace(path)


def test_a_missing_file_and_a_missing_row(lm, tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_trace(tmp_path / "none.jsonl")
    _, trace = kept(lm, tmp_path / "t.jsonl", max_new_tokens=2)
    with pytest.raises(UserError, match="--row: expected 0 to 0, found 1"):
        trace.frames(1)
