"""Hostile programs are contained. Those of ``hostile.py`` say how they would show that they were not."""

import os

import pytest

import hostile
from unmask.tasks.sandbox import confine

pytestmark = pytest.mark.skipif(
    confine.what_is_missing() is not None, reason=f"this kernel lacks {confine.what_is_missing()}"
)


@pytest.mark.parametrize("program", hostile.PROGRAMS, ids=lambda program: program.name)
def test_a_hostile_program_is_contained(program, tmp_path):
    if "syscall(" in program.source and os.uname().machine != "x86_64":
        pytest.skip("the numbers of the calls are those of x86_64")
    assert hostile.breach(program, tmp_path) == ""


def test_they_are_many_and_different():
    assert len({program.name for program in hostile.PROGRAMS}) == len(hostile.PROGRAMS) > 25


HONEST = {
    "double": ("x * 2", hostile.DOUBLE.code),
    "done": ("'done'", hostile.DONE.code),
    "the secret": ("'sesame'", "got == secret"),
    "an attribute": ("setattr(x, 'x', 5)", "p.x == 5"),
}


@pytest.mark.parametrize(("does", "code"), HONEST.values(), ids=HONEST)
def test_who_does_what_is_asked_passes(does, code, tmp_path):
    """Else it would show nothing that the others do not."""
    if not code.startswith("assert"):
        code = f"{hostile.OWN}\ngot = f(p, Point, Text, Made, judge)\nassert {code}"
    honest = hostile.Program("honest", f"def f(x=0, *_): return {does}", hostile.Checks(names=("f",), code=code))
    assert hostile.breach(honest, tmp_path) == "passed"
