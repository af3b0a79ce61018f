import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from small_checkpoints import answer, plain_tokenizer

from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch
from unmask.models.tokenizers import char_tokenizer

SMALL = {"hidden_size": 16, "layers": 1, "heads": 2}


def weights(lm):
    return {name: w.detach().clone() for name, w in lm.model.named_parameters()}


def test_it_depends_on_the_specification_only():
    torch.manual_seed(1)
    first = weights(from_scratch(ScratchSpec(**SMALL)))
    torch.manual_seed(2)
    second = weights(from_scratch(ScratchSpec(**SMALL)))
    other = weights(from_scratch(ScratchSpec(**SMALL, seed=1)))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_it_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    from_scratch(ScratchSpec(**SMALL))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_the_shape_is_what_was_asked_for(architecture):
    spec = ScratchSpec(
        architecture=architecture, hidden_size=32, layers=3, heads=4, kv_heads=2, intermediate_size=40, tie=False
    )
    lm = from_scratch(spec, char_tokenizer("ab"))
    model = lm.model
    assert len(model.model.layers) == 3
    assert model.model.layers[0].self_attn.k_proj.weight.shape == (16, 32)
    assert model.model.layers[0].mlp.up_proj.weight.shape == (40, 32)
    assert model.lm_head.weight.shape == (5, 32)
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    assert model.config.model_type == architecture
    assert not model.training


def test_tokens_are_those_of_the_tokenizer():
    lm = from_scratch(ScratchSpec(**SMALL), "digits")
    assert lm.mask_id == lm.tokenizer.mask_token_id
    assert lm.eos_ids == (lm.tokenizer.eos_token_id,)
    assert lm.filler_id == lm.tokenizer.eos_token_id
    assert lm.vocab_size == len(lm.tokenizer) == lm.model.config.vocab_size


def test_the_filler_learns():
    """Stock models freeze the padding token's row, and the filler is often that token."""
    lm = from_scratch(ScratchSpec(**SMALL, tie=False), "digits")
    ids = torch.tensor([[1, lm.filler_id, 2]])
    lm.model(input_ids=ids).logits[0, 0].sum().backward()
    assert lm.model.get_input_embeddings().weight.grad[lm.filler_id].abs().max() > 0


def test_a_folder_serves_as_tokenizer(tmp_path):
    char_tokenizer("xyz").save_pretrained(tmp_path)
    assert from_scratch(ScratchSpec(**SMALL), tmp_path).vocab_size == 6


def test_facts_are_the_callers():
    lm = from_scratch(ScratchSpec(**SMALL), shift=True, attention="block_causal", block_size=8)
    assert (lm.facts.shift, lm.facts.attention, lm.facts.block_size) == (True, "block_causal", 8)
    assert answer(lm).isfinite().all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": 0}, "layers must be at least 1, found 0"),
        ({"hidden_size": 20, "heads": 8}, "multiple of 2 x heads = 16, found 20"),
        ({"heads": 4, "kv_heads": 3}, "kv_heads must divide heads=4, found 3"),
        ({"heads": 4, "kv_heads": 0}, "kv_heads must divide heads=4, found 0"),
    ],
)
def test_impossible_shapes_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        ScratchSpec(**fields)


def test_recipes_are_checked_by_type():
    adapter = TypeAdapter(ScratchSpec)
    assert adapter.validate_python({"hidden_size": 64, "architecture": "qwen3"}).architecture == "qwen3"
    with pytest.raises(ValidationError, match="architecture"):
        adapter.validate_python({"architecture": "mamba"})


def test_a_tokenizer_without_a_mask_is_refused():
    with pytest.raises(UserError, match="mask token"):
        from_scratch(ScratchSpec(**SMALL), plain_tokenizer())


def test_an_unknown_tokenizer_is_refused():
    with pytest.raises(UserError, match="unknown tokenizer 'nowhere'"):
        from_scratch(ScratchSpec(**SMALL), "nowhere")
