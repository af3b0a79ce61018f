"""What every loaded model must do, whatever its architecture, tying, shift, attention kernel or adapters."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, ModernBertConfig

from unmask.core.attention import PAD, Bidirectional, BlockCausal, Columns
from unmask.core.attention_rules import Causal
from unmask.core.batch import Example, lay_out
from unmask.core.query import Query, SoftTokens
from unmask.models import LoadedModel, LoraSpec, ScratchSpec, add_lora, from_scratch, load
from unmask.models.export import export
from unmask.models.tokenizers import char_tokenizer

ALPHABET = "0123456789+=abcdefgh"
TEXT = [3, 1, 4, 1, 5, 9, 2, 6]
EVERY = tuple(range(len(TEXT)))


def scratch(shift=False, eager=False, **shape):
    spec = ScratchSpec(hidden_size=32, layers=2, heads=4, max_positions=64, init_std=0.2, **shape)
    lm = from_scratch(spec, char_tokenizer(ALPHABET), shift=shift)
    if eager:
        lm.model.set_attn_implementation("eager")
    return lm


def with_lora(folder, train_mask_row=True, **kwargs):
    lm = scratch(**kwargs)
    lm.save(folder)
    lm = add_lora(load(folder), LoraSpec(rank=2, train_mask_row=train_mask_row))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return lm


def modernbert(folder):
    tokenizer = char_tokenizer(ALPHABET)
    ends = dict.fromkeys(("pad_token_id", "bos_token_id", "cls_token_id", "sep_token_id"), tokenizer.eos_token_id)
    config = ModernBertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
        local_attention=8, max_position_embeddings=64, initializer_range=0.2, **ends,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForMaskedLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(folder)


CASES = {
    "llama-tied": lambda _: scratch(),
    "llama-untied-shift": lambda _: scratch(tie=False, shift=True),
    "llama-grouped-eager": lambda _: scratch(kv_heads=2, eager=True),
    "qwen2-tied-shift-eager": lambda _: scratch(architecture="qwen2", shift=True, eager=True),
    "qwen2-untied": lambda _: scratch(architecture="qwen2", tie=False),
    "qwen3-tied-shift": lambda _: scratch(architecture="qwen3", shift=True, kv_heads=2),
    "qwen3-untied-eager": lambda _: scratch(architecture="qwen3", tie=False, eager=True),
    "lora-tied": lambda folder: with_lora(folder),
    "lora-untied-shift": lambda folder: with_lora(folder, tie=False, shift=True),
    "modernbert": modernbert,
}


@pytest.fixture(scope="module", params=CASES)
def lm(request, tmp_path_factory):
    return CASES[request.param](tmp_path_factory.mktemp("base"))


def batch_of(lm, *texts):
    """Texts as rows, each with the last half to be filled."""
    half = len(TEXT) // 2
    examples = [Example(prompt=t[:half], answer=t[half:], order=0, canvas=len(t) - half) for t in texts]
    return lay_out(examples, block_size=2, filler_id=lm.filler_id)


def read(lm, query, row=0, columns=EVERY):
    """Logits of the states of some columns: the last one of a shifted model belongs to the token after the text."""
    shift = int(lm.facts.shift)
    at = torch.tensor([[row, c + shift] for c in columns])
    with torch.no_grad():
        return lm.logits(query, at)


def other(ids, *place):
    changed = ids.clone()
    changed[place] = (changed[place] + 1) % 10
    return changed


def test_padding_reaches_nobody(lm):
    batch = batch_of(lm, TEXT, TEXT + TEXT[:3])
    assert batch.is_pad[0, -1]
    moved = other(batch.ids, 0, -1)
    assert torch.equal(read(lm, batch.query(batch.ids)), read(lm, batch.query(moved)))


def test_what_a_rule_hides_reaches_nobody(lm):
    batch = batch_of(lm, TEXT)
    last = len(TEXT) - 1
    for rule, sees in ((Causal(), range(last)), (BlockCausal(), range(last - 1))):
        before = read(lm, batch.query(batch.ids, rule), columns=sees)
        after = read(lm, batch.query(other(batch.ids, 0, last), rule), columns=sees)
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def test_the_last_token_reaches_the_first(lm):
    batch = batch_of(lm, TEXT)
    change = read(lm, batch.query(other(batch.ids, 0, -1)), columns=[0]) - read(lm, batch.query(batch.ids), columns=[0])
    assert change.abs().max() > 1e-4


def test_five_paddings_agree(lm):
    alone = batch_of(lm, TEXT)
    longer = batch_of(lm, TEXT, TEXT + TEXT[:5])
    last = batch_of(lm, TEXT + TEXT[:2], TEXT + TEXT, TEXT)
    odd = torch.where(longer.is_pad, 7, longer.ids)
    wanted = read(lm, alone.query(alone.ids))
    for name, got in {
        "beside a longer text": read(lm, longer.query(longer.ids)),
        "below two longer texts": read(lm, last.query(last.ids), row=2),
        "padded with another token": read(lm, longer.query(odd)),
        "padded on the left": read(lm, _left_padded(lm, 3), columns=range(3, 3 + len(TEXT))),
        "packed behind another text": read(lm, _packed(), columns=range(5, 5 + len(TEXT))),
    }.items():
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


def _left_padded(lm, padding):
    ids = torch.tensor([[lm.filler_id] * padding + TEXT])
    position = torch.tensor([[0] * padding + [*range(len(TEXT))]])
    segment = torch.tensor([[PAD] * padding + [0] * len(TEXT)])
    columns = Columns(position=position, segment=segment, block=segment, stream=segment)
    return Query(ids=ids, columns=columns, rule=Bidirectional())


def _packed():
    position = torch.tensor([[*range(5), *range(len(TEXT))]])
    segment = torch.tensor([[0] * 5 + [1] * len(TEXT)])
    columns = Columns(position=position, segment=segment, block=segment, stream=torch.zeros_like(segment))
    return Query(ids=torch.tensor([[8, 8, 2, 0, 7, *TEXT]]), columns=columns, rule=Bidirectional())


def test_a_row_of_padding_only_gives_finite_gradients(lm):
    batch = batch_of(lm, TEXT, TEXT)
    query = batch.query(batch.ids)
    segment = query.columns.segment.clone()
    segment[1] = PAD
    query = replace(query, columns=replace(query.columns, segment=segment))
    lm.model.zero_grad()
    lm.score(query, torch.tensor([[0, 5]]), torch.tensor([3])).nll.sum().backward()
    gradients = [w.grad for w in lm.model.parameters() if w.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)
    lm.model.zero_grad()


@pytest.mark.parametrize(
    "query_positions",
    [
        [[0, 1], [0, 6], [1, 0], [1, 3]],
        [[1, 3], [0, 1], [1, 0]],
        [[0, 4], [0, 4], [1, 2], [0, 4]],
        [[0, 0], [0, 1]],  # with a shift both are read off column 0
        [[1, 7]],
        [],
    ],
)
def test_asked_rows_are_rows_of_all_logits(lm, query_positions):
    batch = batch_of(lm, TEXT, TEXT[::-1])
    query = batch.query(batch.ids)
    everything = torch.ones_like(batch.ids).nonzero()
    query_positions = torch.tensor(query_positions, dtype=torch.int64).reshape(-1, 2)
    with torch.no_grad():
        table = lm.logits(query, everything).view(2, len(TEXT), -1)
        got = lm.logits(query, query_positions)
    assert got.shape == (len(query_positions), lm.vocab_size)
    torch.testing.assert_close(got, table[query_positions[:, 0], query_positions[:, 1]], rtol=1e-5, atol=1e-5)


def test_the_state_before_predicts_where_logits_are_shifted(lm):
    batch = batch_of(lm, TEXT)
    query = batch.query(batch.ids)
    at = torch.tensor([[0, c] for c in range(len(TEXT))])
    unshifted = LoadedModel(**{**vars_of(lm), "facts": replace(lm.facts, shift=False)})
    shifted = LoadedModel(**{**vars_of(lm), "facts": replace(lm.facts, shift=True)})
    with torch.no_grad():
        own, before = unshifted.logits(query, at), shifted.logits(query, at)
    torch.testing.assert_close(before[1:], own[:-1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(before[0], own[0], rtol=1e-5, atol=1e-5)


def vars_of(lm):
    return {name: getattr(lm, name) for name in ("model", "tokenizer", "facts", "source", "family", "adapter")}


def test_4d_masks_equal_the_native_form(lm):
    assert lm.facts.native_bidirectional
    dense = LoadedModel(**{**vars_of(lm), "facts": replace(lm.facts, native_bidirectional=False)})
    batch = batch_of(lm, TEXT + TEXT + TEXT, TEXT)
    for row, length in ((0, 3 * len(TEXT)), (1, len(TEXT))):
        native, masked = (read(m, batch.query(batch.ids), row, range(length)) for m in (lm, dense))
        torch.testing.assert_close(masked, native, rtol=1e-5, atol=1e-5)


def test_scores_are_those_of_the_whole_softmax(lm):
    batch = batch_of(lm, TEXT)
    at, targets = torch.tensor([[0, 2], [0, 5], [0, 6]]), torch.tensor([1, 2, 3])
    query = batch.query(torch.where(batch.is_canvas, lm.mask_id, batch.ids))
    with torch.no_grad():
        p = lm.logits(query, at).double().softmax(-1)
        scored = lm.score(query, at, targets, want=("entropy", "is_top", "confidence"))
    close = {"rtol": 1e-4, "atol": 1e-5, "check_dtype": False}
    torch.testing.assert_close(scored.nll, -p[torch.arange(3), targets].log(), **close)
    torch.testing.assert_close(scored.entropy, -(p * p.log()).sum(-1), **close)
    torch.testing.assert_close(scored.confidence, p.max(-1).values, **close)
    assert scored.is_top.tolist() == (p.argmax(-1) == targets).tolist()
    assert lm.score(query, at, targets).entropy is None


def test_soft_tokens_blend_embeddings_with_gradient(lm):
    batch = batch_of(lm, TEXT)
    hard = batch.query(batch.ids)
    place = torch.tensor([[0, 3], [0, 6]])
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    tokens = torch.tensor([[TEXT[3], 9], [9, TEXT[6]]])
    soft = replace(
        batch.query(other(batch.ids, 0, 3)), soft=SoftTokens(query_positions=place, ids=tokens, weights=weights)
    )
    torch.testing.assert_close(read(lm, soft), read(lm, hard), rtol=1e-5, atol=1e-5)
    lm.score(soft, torch.tensor([[0, 1]]), torch.tensor([2])).nll.sum().backward()
    assert weights.grad.abs().max() > 0
    lm.model.zero_grad()


def test_saved_and_reloaded_it_answers_the_same(lm, tmp_path):
    batch = batch_of(lm, TEXT, TEXT[:6])
    query = batch.query(torch.where(batch.is_canvas, lm.mask_id, batch.ids))
    lm.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    again.model.set_attn_implementation(lm.model.config._attn_implementation)
    assert again.facts == lm.facts
    assert torch.equal(read(again, query), read(lm, query))
    assert again.tokenizer.decode(TEXT) == lm.tokenizer.decode(TEXT)


def test_plain_transformers_reads_what_was_exported(lm, tmp_path):
    if lm.adapter is not None:
        pytest.skip(
            "transformers reads whole models only; a merged adapter is compared in unit/models/test_models_lora.py"
        )
    export(lm, tmp_path, to="transformers")
    masked = type(lm.model).__name__.endswith("MaskedLM")
    kind = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    model, report = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([TEXT])).logits[0]
    batch = batch_of(lm, TEXT)
    torch.testing.assert_close(logits, read(lm, batch.query(batch.ids)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if name != "modernbert"])
def test_overfitted_to_a_sentence_it_predicts_token_i_at_i(name, tmp_path):
    lm = CASES[name](tmp_path)
    batch = batch_of(lm, TEXT)
    query = batch.query(torch.where(batch.is_canvas, lm.mask_id, batch.ids))
    at = batch.is_canvas.nonzero()
    targets = batch.ids[at[:, 0], at[:, 1]]
    optimizer = torch.optim.AdamW([w for w in lm.model.parameters() if w.requires_grad], lr=1e-2)
    for _ in range(60):
        loss = lm.score(query, at, targets).nll.mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        assert lm.logits(query, at).argmax(-1).tolist() == targets.tolist()


def test_recomputed_activations_give_the_same_gradients(tmp_path):
    lm = with_lora(tmp_path, train_mask_row=False)  # no input requires a gradient: the harder case
    batch = batch_of(lm, TEXT)
    lm.model.train()
    gradients = []
    for recompute in (False, True):
        if recompute:
            lm.checkpoint_gradients()
        lm.score(batch.query(batch.ids), torch.tensor([[0, 5]]), torch.tensor([3])).nll.sum().backward()
        gradients.append([w.grad.clone() for w in lm.model.parameters() if w.grad is not None])
        lm.model.zero_grad()
    assert len(gradients[0]) == len(gradients[1]) > 0
    for kept, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, kept)


def test_forwards_go_through_the_wrapper_while_it_is_on():
    lm = scratch()
    seen = []

    class Wrapper(torch.nn.Module):
        def forward(self, **inputs):
            seen.append(sorted(inputs))
            return lm.model(**inputs)

    batch = batch_of(lm, TEXT)
    query, at = batch.query(batch.ids), torch.tensor([[0, 1]])
    with lm.through(Wrapper()):
        lm.logits(query, at)
    lm.logits(query, at)
    assert len(seen) == 1
