"""Training and decoding go exactly as they were recorded: see README.md."""

import json

import pytest

from golden import adapter, cases, record

pytestmark = pytest.mark.usefixtures("unchecked")  # what is checked here are values, and twice as fast
WHY = "if this was meant, run python tests/golden/record.py and commit the file by itself, saying why"


@pytest.mark.parametrize("name", cases.TRAINING)
def test_training(name):
    found = json.loads(json.dumps(record.train(name)))
    difference = record.first_difference(record.load("training").get(name, []), found)
    assert difference is None, f"training {name} parts at {difference}; {WHY}"


@pytest.mark.parametrize("name", cases.DECODING)
def test_decoding(name):
    found = json.loads(json.dumps(record.decode(name)))
    difference = record.first_difference(record.load("decoding").get(name, []), found)
    assert difference is None, f"decoding {name} parts at {difference}; {WHY}"


@pytest.mark.parametrize("name", cases.RUNS)
def test_runs_of_the_trainer(name):
    found = json.loads(json.dumps(record.run(name)))
    difference = record.first_difference(record.load("runs").get(name, []), found)
    assert difference is None, f"run {name} parts at {difference}; {WHY}"


def test_every_objective_is_recorded():
    assert set(adapter.objectives()) == {spec["name"] for spec in cases.TRAINING.values()}


def test_every_part_of_a_decoder_is_recorded():
    """A part that is the default of its field counts as named by a decoder that leaves it out."""
    used = {field: {"quota"} if field == "selection" else set() for field in adapter.components()}
    for fields in cases.DECODING.values():
        for field in used.keys() & fields.keys():
            spec = fields[field]
            used[field].add(spec if isinstance(spec, str) else spec["name"])
        used["stop"].add(fields.get("stop", "never"))
        used["selection"] |= {"threshold"} if "threshold" in fields else set()
        used["proposal"] |= {"gumbel"} if "temperature" in fields else set()
        # These revisions bring the selection of their name along.
        used["selection"] |= {"saber", "remdm"} & {str(fields.get("revision")), dict_name(fields.get("revision"))}
    assert {field: set(names) for field, names in adapter.components().items()} == used


def dict_name(spec):
    return spec["name"] if isinstance(spec, dict) else ""


def test_nothing_is_recorded_that_is_not_run():
    for kind, (_, names) in record.RECORDS.items():
        assert list(record.load(kind)) == list(names)
