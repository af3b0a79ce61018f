"""All blocks of a response in one step, in two streams, against one drawn block: supervised tokens per second."""

from harness import main
from shape import stepper

from unmask.objectives import Blockwise

# 8 blocks of 16 after a prompt of 384.
LAYOUT = {"block_size": 16}
VARIANTS = {
    "one": lambda arguments: stepper(Blockwise(block_size=16), attention="block_causal", **LAYOUT),
    "two_streams": lambda arguments: stepper(
        Blockwise(block_size=16, blocks="all", layout="two_streams"), attention="block_causal", **LAYOUT
    ),
    "views": lambda arguments: stepper(Blockwise(block_size=16, blocks="all"), count=1, **LAYOUT),
}

if __name__ == "__main__":
    main(__file__, VARIANTS, baseline="one", title="all 8 blocks against one")
