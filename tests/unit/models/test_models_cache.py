"""The store of keys and values: its operations against plain tensors, and which models can have one."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, ModernBertConfig, Qwen3MoeConfig

from unmask.core.attention import BlockCausal, may_attend
from unmask.core.batch import Example, lay_out
from unmask.core.query import Past, Query
from unmask.errors import UserError
from unmask.models import LoadedModel, LoraSpec, ScratchSpec, add_lora, describe, from_scratch, load
from unmask.models.cache import KeyValues, Slots
from unmask.models.facts import Facts
from unmask.models.tokenizers import char_tokenizer
from unmask.runtime.transformers_api import CACHE_ARGUMENTS

ROWS, HEADS, COLUMNS, WIDTH = 3, 2, 7, 4


def past(place, known, rows=None):
    place, store = torch.tensor(place), KeyValues(layers=1, rows=1, columns=1)
    seen = torch.ones(*place.shape, known, dtype=torch.bool)
    return Past(store=store, column=place, may_attend=seen, rows=rows)


def states(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Reference:
    """A dictionary of (row, column)."""

    def __init__(self):
        self.kept = {}

    def write(self, new, place, rows):
        for r, row in enumerate(rows):
            for n, column in enumerate(place[r]):
                self.kept[row, column] = new[r, :, n]

    def read(self, rows, known):
        nothing = torch.zeros(HEADS, WIDTH)
        return torch.stack(
            [torch.stack([self.kept.get((row, c), nothing) for c in range(known)], dim=1) for row in rows]
        )


@pytest.mark.parametrize("writes", [
    [([[0, 1, 2]] * 3, 3, None), ([[3, 4]] * 3, 5, None), ([[3, 4]] * 3, 7, None)],
    [([[0, 1], [3, 4], [5, 5]], 6, None), ([[1, 2], [0, 1], [5, 6]], 7, None)],
    [([[0, 1, 2, 3, 4, 5, 6]] * 3, 7, None), ([[2, 3], [4, 5]], 6, [0, 2]), ([[1, 2]], 3, [1])],
], ids=["append and overwrite", "each row elsewhere", "some rows"])  # fmt: skip
def test_what_is_written_is_read(writes):
    slots, keys, values = Slots(ROWS, COLUMNS), Reference(), Reference()
    for seed, (place, known, rows) in enumerate(writes):
        k = states(len(place), HEADS, len(place[0]), WIDTH, seed=seed)
        k = torch.stack([k[r][:, [p.index(c) for c in p]] for r, p in enumerate(place)])  # a repeated column is one
        slots.past = past(place, known, None if rows is None else torch.tensor(rows))
        got = slots.update(k, -k)
        keys.write(k, place, rows or range(ROWS))
        values.write(-k, place, rows or range(ROWS))
        assert torch.equal(got[0], keys.read(rows or range(ROWS), known))
        assert torch.equal(got[1], values.read(rows or range(ROWS), known))


def test_rows_are_selected_in_the_order_given():
    slots = Slots(ROWS, COLUMNS)
    k = states(ROWS, HEADS, COLUMNS, WIDTH)
    slots.past = past([list(range(COLUMNS))] * ROWS, COLUMNS)
    slots.update(k, -k)
    slots.select(torch.tensor([2, 0]))
    new = states(2, HEADS, 1, WIDTH, seed=9)
    slots.past = past([[3]] * 2, COLUMNS)
    keys, values = slots.update(new, -new)
    wanted = k[[2, 0]]
    wanted[:, :, 3:4] = new
    assert torch.equal(keys, wanted)
    assert torch.equal(values, -wanted)


def test_nothing_is_copied_at_a_step():
    """What attention reads lies in the slots themselves."""
    slots = Slots(ROWS, COLUMNS)
    for place in ([0, 1, 2, 3], [4, 5], [4, 5]):
        slots.past = past([place] * ROWS, place[-1] + 1)
        keys, _ = slots.update(states(ROWS, HEADS, len(place), WIDTH), states(ROWS, HEADS, len(place), WIDTH))
    assert keys.data_ptr() == slots.keys.data_ptr()


def test_an_empty_selection_before_the_first_forward():
    store = KeyValues(layers=2, rows=ROWS, columns=COLUMNS)
    store.select(torch.tensor([1]))
    for layer in store.layers:
        layer.past = past([[0]], 1)
        keys, _ = layer.update(states(1, HEADS, 1, WIDTH), states(1, HEADS, 1, WIDTH))
        assert keys.shape == (1, HEADS, 1, WIDTH)


def wrapped(config, **facts):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stock = AutoModelForCausalLM.from_config(config).eval()
    known = Facts(mask_id=19, eos_ids=(18,), filler_id=18, vocab_size=20, attention="block_causal", **facts)
    return LoadedModel(model=stock, tokenizer=None, facts=known)


def lora(folder):
    from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=4), attention="block_causal").save(folder)
    lm = add_lora(load(folder), LoraSpec(rank=2))
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(states(*weight.shape))
    return lm


def scratch(**shape):
    spec = ScratchSpec(hidden_size=32, layers=2, heads=4, init_std=0.3, **shape)
    return from_scratch(spec, attention="block_causal")


def eager():
    lm = scratch(kv_heads=2)
    lm.model.set_attn_implementation("eager")
    return lm


SHAPE = {"vocab_size": 20, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "is_causal": False,
         "initializer_range": 0.3}  # fmt: skip
CASES = {
    "llama": lambda _: scratch(kv_heads=2),
    "qwen2": lambda _: scratch(architecture="qwen2"),
    "eager": lambda _: eager(),
    "lora": lora,
    "experts": lambda _: wrapped(
        Qwen3MoeConfig(**SHAPE, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
    ),
    "learned positions": lambda _: wrapped(
        GPT2Config(
            vocab_size=20, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3, bos_token_id=18, eos_token_id=18
        ),
        native_bidirectional=False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_text_read_in_two_parts_gives_the_same_logits(name, tmp_path):
    lm = CASES[name](tmp_path)
    examples = [Example(prompt=p, answer=[5, 6, 7, 8], order=0, canvas=4) for p in ([1, 2, 3], [4])]
    batch = lay_out(examples, block_size=2, filler_id=lm.filler_id)
    whole = batch.query(batch.ids, BlockCausal())
    start = batch.is_canvas.long().argmax(1)
    first = torch.arange(3)[None].expand(2, 3).minimum(start[:, None] - 1)
    second = start[:, None] + torch.arange(2)
    store = lm.store(*batch.ids.shape)
    lm.flops.reset()
    with torch.no_grad():
        for place in (first, second):
            columns = whole.columns[torch.arange(2)[:, None], place]
            may = may_attend(BlockCausal(), columns, whole.columns)
            kept = Past(store=store, column=place, may_attend=may)
            part = Query(ids=batch.ids.gather(1, place), columns=columns, rule=BlockCausal(), past=kept)
            got = lm.logits(part, torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]))
        assert lm.flops.tokens == 2 * 3 + 2 * 2
        at = torch.stack([torch.tensor([0, 0, 1, 1]), second.flatten()], dim=1)
        torch.testing.assert_close(got, lm.logits(whole, at), rtol=0, atol=1e-5)


def test_trying_it_costs_nothing_that_is_counted():
    lm = scratch()
    lm.model.train()
    lm.store(1, 4)
    assert (lm.flops.forwards, lm.flops.tokens, lm.flops.flops) == (0, 0, 0.0)
    assert lm.model.training


def test_a_model_without_keys_and_values_is_refused(tmp_path):
    tokenizer = char_tokenizer("0123456789+=")
    ends = dict.fromkeys(("pad_token_id", "bos_token_id", "cls_token_id", "sep_token_id"), tokenizer.eos_token_id)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        **ends,
    )
    from transformers import AutoModelForMaskedLM

    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    lm = load(tmp_path)
    with pytest.raises(UserError, match="ModernBertForMaskedLM was given keys and values as .*; use the cache 'none'"):
        lm.store(1, 4)
    assert lm.exact_cache == "none"


def test_a_model_that_forgets_what_it_is_given_is_refused_and_said_once(caplog):
    lm = scratch()
    real = lm._forward
    dropped = dict.fromkeys(CACHE_ARGUMENTS)
    lm._forward = lambda **inputs: SimpleNamespace(logits=real(**{**inputs, **dropped}).logits)
    with pytest.raises(UserError, match="LlamaForCausalLM was given keys and values as .*it writes none of its own"):
        lm.store(1, 4)
    assert lm.exact_cache == "none"
    assert describe(lm)["cache"] == "none"
    assert "it writes none of its own" in describe(lm)["cache_reason"]
    said = [record.getMessage() for record in caplog.records if record.name.startswith("unmask")]
    assert len(said) == 1
    assert said[0].startswith("decoding without the exact cache 'block', so every step reads the whole text: Llama")
    assert "as 'cache': it writes none of its own; as 'past_key_values': it writes none" in said[0]


def test_inspect_says_which_cache_and_why(caplog):
    facts = describe(scratch())
    assert (facts["cache"], facts["cache_reason"]) == (
        "block",
        "attention is block_causal: finished blocks do not change any more",
    )
    spec = ScratchSpec(hidden_size=32, layers=2, heads=4)
    assert describe(from_scratch(spec))["cache_reason"].startswith("attention is bidirectional")
    assert not caplog.records
