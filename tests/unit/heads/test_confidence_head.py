"""The confidence stream: beside the model, without a trace in its predictions until it is trained."""

import copy

import pytest
import torch

from unmask.core.attention import PAD
from unmask.core.batch import Example, lay_out
from unmask.errors import UserError
from unmask.heads import ConfidenceStream
from unmask.models import ScratchSpec, from_scratch

AT = torch.tensor([[0, 2], [0, 5], [1, 4]])


def model(architecture="llama", layers=3, **options):
    return from_scratch(
        ScratchSpec(hidden_size=32, layers=layers, heads=2, init_std=0.2, architecture=architecture), **options
    )


def question(lm):
    rows = [Example(prompt=[1, 2], answer=[3, 4, 5, 6, 7, 8], order=i, canvas=6 - i) for i in (0,)]
    rows.append(Example(prompt=[5], answer=[4, 3, 2], order=1, canvas=4))
    batch = lay_out(rows, block_size=2, filler_id=lm.filler_id)
    return batch.query(torch.where(batch.is_canvas & (batch.offset % 2 == 0), lm.mask_id, batch.ids), lm.rule)


def attached(lm, taps=2, moved=False):
    lm.attach("confidence", {"taps": taps, "lr": 1e-3})
    head = lm.heads["confidence"]
    if moved:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for linear in (*head.back, head.out):
                linear.weight.copy_(0.3 * torch.randn(linear.weight.shape, generator=generator))
    return head


def judged(lm, query, query_positions=AT):
    with torch.no_grad():
        return lm.score(
            query, query_positions, torch.zeros(len(query_positions), dtype=torch.int64), want=("correctness",)
        ).correctness


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("taps", [1, 2, 4])
def test_at_first_the_predictions_are_the_models_own(architecture, taps):
    """8: bit for bit; and the confidence is undecided."""
    lm = model(architecture)
    query = question(lm)
    with torch.no_grad():
        before = lm.logits(query, AT)
        attached(lm, taps)
        assert torch.equal(lm.logits(query, AT), before)
    assert judged(lm, query).tolist() == [0, 0, 0]


def test_taps_are_spread_from_the_first_layer_to_the_last():
    lm = model(layers=8)
    lm.attach("confidence", {"taps": 4})
    hooked = [i for i, layer in enumerate(lm.model.model.layers) if layer._forward_hooks]
    assert hooked == [0, 2, 4, 7]
    assert len(lm.heads["confidence"].blocks) == 4
    for block, place in zip(lm.heads["confidence"].blocks, hooked, strict=True):
        for mine, theirs in zip(block.parameters(), lm.model.model.layers[place].parameters(), strict=True):
            assert torch.equal(mine, theirs)
            assert mine is not theirs


def test_the_stream_by_hand():
    """u_1 = block_1(x_1), x_1 + Z_1 norm(u_1) goes on; u_2 = block_2(x_2 + u_1); the logit is linear in u_2."""
    lm = model(layers=2)
    head = attached(lm, taps=2, moved=True)
    query = question(lm)
    seen = {}

    def keep(name):
        def hook(module, args, kwargs, output):
            seen[name] = (args[0], output[0] if isinstance(output, tuple) else output)

        return hook

    for i in (0, 1):
        head.blocks[i].register_forward_hook(keep(f"block {i}"), with_kwargs=True)
    # These run after the taps: what they see is what goes on.
    for i in (0, 1):
        lm.model.model.layers[i].register_forward_hook(keep(f"layer {i}"), with_kwargs=True)
    correctness = judged(lm, query)
    x1, u1 = seen["block 0"]
    x2_and_u1, u2 = seen["block 1"]
    torch.testing.assert_close(seen["layer 0"][1], x1 + head.back[0](head.norms[0](u1)))
    torch.testing.assert_close(seen["layer 1"][1], x2_and_u1 - u1 + head.back[1](head.norms[1](u2)), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen["layer 1"][0], seen["layer 0"][1])
    expected = (u2 @ head.out.weight[0] + head.out.bias)[AT[:, 0], AT[:, 1]]
    torch.testing.assert_close(correctness, expected)


def test_it_attends_by_the_rule_of_the_question():
    """Later blocks do not reach it in a block-causal model, and padding never does."""
    lm = model(attention="block_causal")
    attached(lm, taps=3, moved=True)
    query = question(lm)
    first_block = torch.tensor([[0, 2], [0, 3], [1, 1]])
    before = judged(lm, query, first_block)
    is_later = (query.columns.block > 0) | (query.columns.segment == PAD)
    moved = type(query)(**{**vars(query), "ids": torch.where(is_later, 9, query.ids)})
    torch.testing.assert_close(judged(lm, moved, first_block), before, rtol=0, atol=1e-5)
    earlier = type(query)(**{**vars(query), "ids": torch.where(query.columns.block < 0, 9, query.ids)})
    assert (judged(lm, earlier, first_block) - before).abs().min() > 1e-3


def test_gradient_reaches_every_part_of_the_stream_and_the_model():
    lm = model()
    head = attached(lm, moved=True)
    lm.score(question(lm), AT, torch.zeros(3, dtype=torch.int64), want=("correctness",)).correctness.sum().backward()
    used = [name for name, weight in head.named_parameters() if weight.grad is not None and weight.grad.abs().max() > 0]
    unused = {name for name, _ in head.named_parameters()} - set(used)
    assert unused == {"back.1.weight", "norms.1.weight", "norms.1.bias"}  # they feed the predictions only
    assert lm.model.model.layers[0].mlp.up_proj.weight.grad.abs().max() > 0


def test_the_models_output_hangs_on_every_parameter_of_the_stream():
    """Data-parallel wrappers wait for the parameters that they find from the output on, and for no others."""
    lm = model()
    head = attached(lm)
    lm.logits(question(lm), AT).sum().backward()
    assert all(weight.grad is not None for weight in head.parameters())


def test_a_copy_of_the_model_has_a_stream_of_its_own():
    lm = model()
    head = attached(lm, moved=True)
    query = question(lm)
    before = judged(lm, query)
    twin = copy.deepcopy(lm.model)
    with torch.no_grad():
        twin.unmask_heads["confidence"].out.weight.zero_()
    assert torch.equal(judged(lm, query), before)
    read = head._logits
    with torch.no_grad():
        twin(input_ids=query.ids, use_cache=False)
    assert head._logits is read  # the copy's forward went through the copy's stream
    assert twin.unmask_heads["confidence"]._logits.abs().max() == 0


def test_it_is_read_after_a_forward():
    lm = model()
    head = ConfidenceStream(lm.model, taps=1)
    with pytest.raises(RuntimeError, match="is read after a forward of its model, and there was none"):
        head.read(AT)


def test_a_model_without_the_stream_says_so():
    with pytest.raises(UserError, match="the model has no head 'confidence'; train it with the objective remedi"):
        judged(model(), question(model()))


def test_settings_make_it_again():
    """More taps than layers are as many as there are layers, and asking for as many again is no other setting."""
    lm = model(layers=2)
    head = attached(lm, taps=4)
    assert len(head.blocks) == 2
    assert head.settings == {"taps": 4, "lr": 1e-3}
    lm.attach("confidence", {"taps": 4, "lr": 1e-3})
    assert lm.heads["confidence"] is head
