"""The rules of precedence, what follows from an old folder, and public functions that modules cannot shadow."""

import json
import subprocess
import sys

import pytest

from unmask.config.defaults import BLOCK_SIZE, CANVAS, resolve_block_size, resolve_canvas
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch, load
from unmask.models.fingerprint import hash_of_model
from unmask.objectives import Blockwise, Mixture, NBDiff, SoftMasked, Vanilla, sized


def test_the_first_owner_that_names_a_size_decides():
    owners = {"objective": 1, "decoder": 2, "layout": 3, "model": 4}
    while owners:
        assert resolve_block_size(**owners) == min(owners.values())
        owners.pop(min(owners, key=owners.get))
    assert resolve_block_size() == BLOCK_SIZE == 32
    assert (resolve_canvas(given=5, model=6), resolve_canvas(model=6), resolve_canvas()) == (5, 6, CANVAS)
    assert resolve_canvas(given=0, model=6) == 0, "what is wrong is refused by name, not replaced"


def test_methods_without_a_size_take_one_wherever_they_stand():
    assert sized(Blockwise(), 8) == Blockwise(block_size=8)
    assert sized(Blockwise(block_size=4), 8) == Blockwise(block_size=4)
    assert sized(SoftMasked(inner="blockwise"), 8).block_size == 8
    assert sized(Mixture(), 8) == Mixture(members=["vanilla", Blockwise(block_size=8)])
    vanilla = Vanilla()
    assert sized(vanilla, 8) is vanilla
    with pytest.raises(UserError, match="block_size: expected first_block=3 times a power of 2, found 8"):
        sized(NBDiff(first_block=3), 8)
    with pytest.raises(UserError, match="inner: expected a method that chooses or weighs tokens"):
        Blockwise(inner="blockwise")


OTHER = ("canvas", "format", "family", "source", "last_block")  # facts that training does not depend on


def test_a_folder_without_a_canvas_loads_and_is_the_same_model_to_a_run(tmp_path):
    """Runs of earlier versions, whose models had no canvas, are resumed: the hash of their model must be the same."""
    from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1)).save(tmp_path)
    new, file = load(tmp_path), tmp_path / "config.json"
    config = json.loads(file.read_text())
    for canvas in ({}, {"canvas": 12}):
        facts = {name: value for name, value in config["unmask"].items() if name not in OTHER}
        file.write_text(json.dumps({**config, "unmask": {**facts, **canvas}}))
        found = load(tmp_path)
        assert found.facts.canvas == canvas.get("canvas")
        assert hash_of_model(found) == hash_of_model(new)
        assert found.facts.for_training() == new.facts.for_training() == facts


MODULES = "import unmask.recipes.check, unmask.recipes.run, unmask.evaluate, unmask.generate"


@pytest.mark.parametrize("modules", ["", MODULES])
def test_public_functions_are_no_modules_in_either_order(modules):
    names = ("sft", "check", "evaluate", "generate")
    program = f"{modules}\nimport unmask\nfirst = [getattr(unmask, n) for n in {names}]\n"
    program += f"{MODULES}\n"
    program += f"assert first == [getattr(unmask, n) for n in {names}]\nassert all(map(callable, first))\n"
    program += "print(unmask.check({}).problems[0])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("model: expected either path or from_scratch, found neither")
