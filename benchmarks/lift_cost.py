"""What LIFT's scoring pass costs: LIFT-3, LIFT-2 and the one-forward approximation against vanilla training."""

from harness import main
from shape import stepper

from unmask.objectives import Lift, Vanilla

VARIANTS = {
    "vanilla": lambda arguments: stepper(Vanilla()),
    "lift-3": lambda arguments: stepper(Lift(components=3)),
    "lift-2": lambda arguments: stepper(Lift(components=2)),
    "lift-3 approximate": lambda arguments: stepper(Lift(approximate=True)),
}

if __name__ == "__main__":
    main(__file__, VARIANTS, baseline="vanilla", title="LIFT against vanilla training")
