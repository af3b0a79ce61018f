import pytest
import torch
from small_checkpoints import ar_folder, question, random_model
from transformers import GPT2Config, Qwen3MoeConfig

from unmask.core.attention import BIDIRECTIONAL, PAD, Columns
from unmask.core.query import Query
from unmask.models import LoraSpec, ScratchSpec, add_lora, from_scratch, load, merge
from unmask.models.call import learn_call
from unmask.models.flops import FlopCounter

D, LAYERS, HIDDEN = 16, 2, 48
BODY = LAYERS * (4 * D * D + 3 * D * HIDDEN)


def scratch(**shape):
    return from_scratch(ScratchSpec(hidden_size=D, layers=LAYERS, heads=2, intermediate_size=HIDDEN, **shape))


@pytest.mark.parametrize("tie", [True, False])
def test_sizes_by_hand(tie):
    lm = scratch(tie=tie)
    flops = lm.flops
    assert (flops.body, flops.head) == (BODY, D * lm.vocab_size)
    assert flops.attention == LAYERS * 4 * D
    assert (flops.trained_body, flops.trained_head) == (BODY, D * lm.vocab_size)


def laid_out(rows):
    """Segments of rows, a letter each; dots are padding."""
    segment = torch.tensor([[PAD if letter == "." else ord(letter) for letter in row] for row in rows])
    same = torch.zeros_like(segment)
    columns = Columns(position=same, segment=segment, block=same, stream=same)
    return Query(ids=same, columns=columns, rule=BIDIRECTIONAL)


def test_a_forward_and_a_backward_by_hand():
    flops = FlopCounter(body=100, head=10, attention=4, trained_body=30, trained_head=0)
    flops.count(laid_out(["aaa", "bbb"]), queried=2, training=False)
    through, scores = 2 * (6 * 100 + 2 * 10), 6 * 4 * 3
    assert flops.flops == through + scores
    flops.count(laid_out(["aaa", "bbb"]), queried=2, training=True)
    assert flops.flops == (through + scores) + (2 * through + 3 * scores + 2 * 6 * 30)
    assert (flops.forwards, flops.tokens) == (2, 12)
    flops.reset()
    assert (flops.forwards, flops.tokens, flops.flops) == (0, 0, 0.0)


@pytest.mark.parametrize("cut", [[["aaa.", "bbbb"]], [["aaa"], ["bbbb"]], [["aaabbbb."]], [["aaa....", "bbbb..."]]])
def test_padding_and_packing_cost_nothing(cut):
    flops = FlopCounter(body=100, head=10, attention=4, trained_body=30, trained_head=0)
    for rows in cut:
        flops.count(laid_out(rows), queried=0, training=False)
    assert flops.tokens == 7
    assert flops.flops == 2 * 7 * 100 + 4 * (3 * 3 + 4 * 4)


def test_more_forwards_than_are_held_at_once():
    flops = FlopCounter(body=1, head=0, attention=0, trained_body=0, trained_head=0)
    for _ in range(600):
        flops.count(laid_out(["aa"]), queried=0, training=False)
    assert (flops.forwards, flops.tokens, flops.flops) == (600, 1200, 2400.0)


@pytest.mark.parametrize("tie", [True, False])
def test_the_profiler_agrees(tie):
    """Matrix products as torch counts them; attention and norms are left out of its count here."""
    from torch.utils.flop_counter import FlopCounterMode

    lm = scratch(tie=tie)
    lm.model.set_attn_implementation("eager")
    query, at = question(lm)
    learn_call(lm.model)  # as loading does
    lm.flops.reset()
    with FlopCounterMode(display=False) as counter:
        lm.score(query, at, torch.zeros(len(at), dtype=torch.int64)).nll.sum().backward()
    assert lm.flops.flops == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_adapters_train_a_share_of_the_body(tmp_path):
    base = load(ar_folder(tmp_path))
    lm = add_lora(base, LoraSpec(rank=2, targets=("q_proj",)))
    extra = 2 * (2 * 32 + 2 * 32)  # layers x (down and up)
    assert lm.flops.body == base.flops.body + extra
    assert lm.flops.head == base.flops.head == 32 * 19
    assert (lm.flops.trained_body, lm.flops.trained_head) == (extra, 0)
    merged = merge(lm).flops
    assert (merged.body, merged.trained_body) == (base.flops.body, base.flops.body)


def test_a_token_passes_through_some_experts():
    shape = {"vocab_size": 18, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "num_key_value_heads": 2}
    flops = FlopCounter.of(random_model(Qwen3MoeConfig(**shape, **experts, pad_token_id=None)))
    attention, two_experts, router = 4 * 16 * 16, 2 * 3 * 16 * 8, 16 * 4
    assert flops.body in (
        attention + two_experts,
        attention + two_experts + router,
    )


def test_gpt2_has_matrices_of_its_own_kind():
    model = random_model(GPT2Config(vocab_size=18, n_embd=16, n_layer=1, n_head=2, n_positions=32))
    assert FlopCounter.of(model).body == 12 * 16 * 16
