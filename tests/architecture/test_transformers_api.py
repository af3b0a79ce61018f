"""What is assumed of transformers stands in one file, and what models can do is found by calling them."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers.modeling_outputs import CausalLMOutput

from unmask.models import ScratchSpec, from_scratch
from unmask.models.call import learn_call

SRC = Path(__file__).parents[2] / "src/unmask"
OWNERS = {"runtime/transformers_api.py", "runtime/third_party_logging.py", "runtime/trackers.py", "train/trainer.py"}


def test_no_other_file_imports_transformers():
    found = [
        p for p in SRC.rglob("*.py") if re.search(r"^\s*(from|import) transformers\b", p.read_text(), re.MULTILINE)
    ]
    assert {p.relative_to(SRC).as_posix() for p in found} == OWNERS


def test_chat_templates_are_rendered_in_one_place():
    found = [p for p in SRC.rglob("*.py") if ".apply_chat_template(" in p.read_text()]
    assert [p.relative_to(SRC).as_posix() for p in found] == ["runtime/transformers_api.py"]


def test_no_capability_is_read_off_a_signature():
    for path in SRC.rglob("*.py"):
        if "cli" not in path.parts:  # which reads the signatures of its own commands
            assert "inspect.signature" not in path.read_text(), path


class Foreign(nn.Module):
    """A language model with a forward of its own: ``takes`` says which arguments it really uses."""

    def __init__(self, *takes):
        super().__init__()
        self.takes, self.embed = takes, nn.Embedding(8, 8)

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, logits_to_keep=0, **rest):
        if rest and "rest" not in self.takes:
            raise TypeError(f"unexpected {sorted(rest)}")
        hidden = self.embed(input_ids)
        if "position_ids" in self.takes and position_ids is not None:
            hidden = hidden + position_ids[..., None]
        if "logits_to_keep" in self.takes and isinstance(logits_to_keep, torch.Tensor):
            hidden = hidden[logits_to_keep]
        return CausalLMOutput(logits=hidden)


@pytest.mark.parametrize("takes", [(), ("position_ids",), ("logits_to_keep",), ("position_ids", "rest")])
def test_an_argument_that_is_named_but_not_used_is_not_taken(takes):
    call = learn_call(Foreign(*takes))
    assert call.takes_positions == ("position_ids" in takes)
    assert call.keeps_rows == ("logits_to_keep" in takes)
    assert call.takes_use_cache == ("rest" in takes)


def test_a_model_without_memory_is_asked_as_well():
    assert learn_call(from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=2)).model.to("meta")).takes_positions
    assert not learn_call(Foreign().to("meta")).takes_positions
    assert learn_call(Foreign("position_ids").to("meta")).takes_positions


def test_asking_leaves_the_model_in_its_mode():
    model = Foreign().train()
    learn_call(model)
    assert model.training
    assert model.embed.weight.grad is None
