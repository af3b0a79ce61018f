"""Adapters on mixtures of experts: what each name means, that nothing else moves, and that PEFT alone reads them."""

import json

import peft
import pytest
import torch
from mixtures import CONFIGS, mixture_folder
from small_checkpoints import answer, ar_folder, question
from transformers import AutoModelForCausalLM

from unmask.errors import UserError
from unmask.models import LoraSpec, add_lora, load, merge
from unmask.models.checkpoints import locate
from unmask.models.layer_groups import layer_groups
from unmask.models.lora import adapted_weights, training_remark
from unmask.models.preflight import preflight

ATTENTION = {f"{n}.self_attn.{x}_proj" for n in (0, 1) for x in "qkvo"}
MLP = ("gate_proj", "up_proj", "down_proj")
DENSE = {f"0.mlp.{x}" for x in MLP}
SHARED = {f"1.mlp.shared_experts.{x}" for x in MLP}
SHARED_2 = {f"{n}.mlp.shared_expert.{x}" for n in (0, 1) for x in MLP}
EXPERTS = {f"{n}.mlp.experts.{x}_proj" for n in (0, 1) for x in ("gate_up", "down")}
LATER = {name for name in EXPERTS if name.startswith("1")}  # where the first layer is dense
GROUPS = {  # attention; dense and shared MLP; routed experts
    "qwen3_moe": (ATTENTION, set(), EXPERTS),
    "qwen3_moe with a dense layer": (ATTENTION, DENSE, LATER),
    "glm4_moe": (ATTENTION, DENSE | SHARED, LATER),
    "mixtral": (ATTENTION, set(), EXPERTS),
    "olmoe": (ATTENTION, set(), EXPERTS),
    "qwen2_moe": (ATTENTION, SHARED_2, EXPERTS),
}
WITH_EXPERTS = ("all-linear", "experts")
kinds = pytest.mark.parametrize("kind", list(CONFIGS))
main_kinds = pytest.mark.parametrize("kind", ["glm4_moe", "qwen3_moe"])
TWO = pytest.mark.parametrize("targets", ["all-linear", WITH_EXPERTS], ids=["default", "experts"])


def adapted(folder, targets="all-linear", **flags):
    return add_lora(load(folder, **flags), LoraSpec(rank=2, targets=targets))


def touched(lm):
    return {name.removeprefix("model.layers.") for name in adapted_weights(lm.model)}


def train(lm, steps=3):
    optimizer = torch.optim.AdamW([w for w in lm.model.parameters() if w.requires_grad], lr=1e-2)
    query, at = question(lm)
    for _ in range(steps):
        lm.score(query, at, torch.arange(len(at))).nll.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return lm


@kinds
@pytest.mark.parametrize("name", ["all-linear", "attention", "experts", WITH_EXPERTS, ("attention", "experts")])
def test_a_name_means_the_same_group_on_every_class(tmp_path, kind, name):
    attention, mlp, experts = GROUPS[kind]
    meant = {"all-linear": attention | mlp, "attention": attention, "experts": experts}
    listed = (name,) if isinstance(name, str) else name
    lm = adapted(mixture_folder(tmp_path, kind), name)
    assert touched(lm) == set().union(*(meant[each] for each in listed))
    trained = {n for n, w in lm.model.named_parameters() if w.requires_grad}
    assert all(".lora_" in n or "trainable_tokens" in n for n in trained)


def test_a_layers_name_means_linear_layers_and_no_experts(tmp_path):
    lm = adapted(mixture_folder(tmp_path, "glm4_moe"), ("down_proj", "1.self_attn.q_proj"))
    assert touched(lm) == {"0.mlp.down_proj", "1.mlp.shared_experts.down_proj", "1.self_attn.q_proj"}
    assert touched(adapted(tmp_path, ("shared_experts.up_proj",))) == {"1.mlp.shared_experts.up_proj"}
    assert touched(adapted(tmp_path, ("mlp.up_proj", "experts"))) == {"0.mlp.up_proj", *LATER}


@kinds
@pytest.mark.parametrize("name", ["gate", "mlp.gate", "router", "gate.weight", "model.layers.1.mlp.gate"])
def test_a_router_is_refused_with_the_reason(tmp_path, kind, name):
    folder = mixture_folder(tmp_path, kind)
    says = f"lora.targets names '{name}', which is a router: it stays as it is, for a router that learns sends"
    with pytest.raises(UserError, match=says):
        adapted(folder, ("q_proj", name))
    found = preflight(locate(str(folder)), lora=LoraSpec(targets=("q_proj", name)))
    assert len(found.problems) == 1
    assert says in found.problems[0]


def test_the_gate_of_a_shared_expert_is_a_router_too(tmp_path):
    with pytest.raises(UserError, match="which is a router"):
        adapted(mixture_folder(tmp_path, "qwen2_moe"), ("shared_expert_gate",))


@pytest.mark.parametrize("name", ["gate_proj", "down_proj", "mlp.experts", "experts.gate_up_proj", "w1"])
def test_names_of_routed_experts_are_refused_where_nothing_else_has_them(tmp_path, name):
    with pytest.raises(UserError, match="in its routed experts only; write 'experts' for them, or leave it out"):
        adapted(mixture_folder(tmp_path, "qwen3_moe"), ("q_proj", name))


def test_a_dense_model_has_no_experts_and_other_names_are_refused_as_ever(tmp_path):
    with pytest.raises(UserError, match="names 'experts', but this model has no routed experts"):
        adapted(ar_folder(tmp_path / "dense"), WITH_EXPERTS)
    lm = adapted(tmp_path / "dense", "attention")
    assert touched(lm) == ATTENTION
    assert touched(adapted(tmp_path / "dense", ("attention", "down_proj"))) == ATTENTION | {
        f"{n}.mlp.down_proj" for n in (0, 1)
    }
    with pytest.raises(UserError, match=r"no linear layer .*did you mean 'q_proj'\? \(all: k_proj, lm_head, o_p"):
        adapted(mixture_folder(tmp_path / "mixture", "qwen3_moe"), ("q_prj",))


@pytest.mark.parametrize(
    ("kind", "targets", "named"),
    [
        ("glm4_moe", "all-linear", "dense MLP and shared MLP"),
        ("qwen3_moe", WITH_EXPERTS, "experts"),
    ],
)
def test_dropout_is_refused_where_peft_has_none(tmp_path, kind, targets, named):
    lm, spec = load(mixture_folder(tmp_path, kind)), LoraSpec(targets=targets, dropout=0.1)
    says = f"lora.dropout must be 0 for {named} of a mixture of experts"
    with pytest.raises(UserError, match=says):
        add_lora(lm, spec)
    assert says in preflight(locate(str(tmp_path)), lora=spec).problems[0]
    add_lora(lm, LoraSpec(targets="attention", dropout=0.1))


@kinds
def test_a_dropout_of_attention_works_on_every_class(tmp_path, kind):
    add_lora(load(mixture_folder(tmp_path, kind)), LoraSpec(targets="attention", dropout=0.1))


@main_kinds
@TWO
def test_three_steps_change_the_adapted_and_nothing_else(tmp_path, kind, targets):
    lm = adapted(mixture_folder(tmp_path, kind), targets)
    before = {name: w.clone() for name, w in lm.model.state_dict().items()}
    train(lm)
    moved = {name for name, w in lm.model.state_dict().items() if not torch.equal(w, before[name])}
    assert moved == {name for name in before if ".lora_" in name or "trainable_tokens" in name}
    merged = merge(lm).model.state_dict()
    base = load(tmp_path).model.state_dict()
    changed = {name.removesuffix(".weight") for name, w in merged.items() if not torch.equal(w, base[name])}
    attention, mlp, experts = GROUPS[kind]
    wanted = attention | mlp | (experts if "experts" in targets else set())
    assert changed == {f"model.layers.{name}" for name in wanted} | {"model.embed_tokens"}  # its mask row


@main_kinds
@TWO
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_saved_and_reloaded_it_answers_the_same(tmp_path, kind, targets, dtype):
    lm = train(adapted(mixture_folder(tmp_path / "base", kind), targets, dtype=dtype))
    lm.save(tmp_path / "adapter")
    again = load(tmp_path / "adapter")
    assert torch.equal(answer(again), answer(lm))
    assert touched(again) == touched(lm)
    train(again).save(tmp_path / "second")
    assert torch.equal(answer(load(tmp_path / "second")), answer(again))
    assert not torch.equal(answer(again), answer(lm))


def test_the_router_stays_in_float32_where_its_class_has_it_so(tmp_path):
    adapted(mixture_folder(tmp_path / "base", "glm4_moe"), WITH_EXPERTS).save(tmp_path / "adapter")
    whole, half = load(tmp_path / "base", dtype="bfloat16"), load(tmp_path / "adapter", dtype="bfloat16")
    for lm in (whole, half):
        dtypes = {name.rpartition(".gate.")[2]: w.dtype for name, w in lm.model.named_parameters() if ".gate." in name}
        assert dtypes == {"weight": torch.float32}
        assert lm.stock.dtype == torch.bfloat16


@main_kinds
@TWO
@pytest.mark.filterwarnings("ignore:Unsupported layer type")  # PEFT 0.18, of stacked experts
def test_plain_peft_reads_the_folder(tmp_path, kind, targets):
    lm = train(adapted(mixture_folder(tmp_path / "base", kind), targets))
    lm.save(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    base.config.is_causal = False
    ids = torch.arange(18)[None]
    with torch.no_grad():
        without = base(ids).logits
        plain = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        assert torch.equal(plain(ids).logits, lm.model(input_ids=ids).logits)
        assert not torch.equal(plain(ids).logits, without)


@main_kinds
@TWO
def test_merged_it_answers_the_same_and_is_plain(tmp_path, kind, targets):
    lm = train(adapted(mixture_folder(tmp_path / "base", kind), targets))
    wanted = answer(lm)
    merged = merge(lm)
    torch.testing.assert_close(answer(merged), wanted, rtol=0, atol=1e-5)
    assert (wanted - answer(load(tmp_path / "base"))).abs().max() > 1e-2
    merged.save(tmp_path / "merged")
    assert torch.equal(answer(load(tmp_path / "merged")), answer(merged))


@main_kinds
@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys")  # PEFT looks for layers of that name only
@pytest.mark.filterwarnings("ignore:Unsupported layer type")
def test_an_adapter_that_peft_wrote_for_experts_is_read(tmp_path, kind):
    """PEFT writes an empty list of layers, or doubles the rank of the fused gate and up matrices by a pattern."""
    base = AutoModelForCausalLM.from_pretrained(mixture_folder(tmp_path / "base", kind))
    config = peft.LoraConfig(
        r=2, target_modules=[], target_parameters=["gate_up_proj", "mlp.experts.down_proj"], init_lora_weights=False,
        rank_pattern={r".*\.gate_up_proj": 4}, alpha_pattern={r".*\.gate_up_proj": 16},
    )  # fmt: skip
    base.config.is_causal = False
    model = peft.get_peft_model(base, config).eval()
    model.save_pretrained(tmp_path / "adapter")
    written = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert written["target_modules"] == []
    lm = load(tmp_path / "adapter", base=tmp_path / "base")
    assert touched(lm) == GROUPS[kind][2]
    ids = torch.arange(18)[None]
    with torch.no_grad():
        assert torch.equal(lm.model(input_ids=ids).logits, model(ids).logits)


@pytest.mark.parametrize(
    ("kind", "targets", "line"),
    [
        ("qwen3_moe", "all-linear", "LoRA on attention and the mask token's row; frozen: experts, router"),
        (
            "glm4_moe",
            "all-linear",
            "LoRA on attention, dense MLP, shared MLP and the mask token's row; frozen: experts, router",
        ),
        (
            "glm4_moe",
            ("attention", "experts"),
            "LoRA on attention, experts and the mask token's row; frozen: dense MLP, shared MLP, router",
        ),
        (
            "glm4_moe",
            ("q_proj", "0.mlp.up_proj"),
            "LoRA on attention (2 of 8), dense MLP (1 of 3) and the mask token's row; "
            "frozen: shared MLP, experts, router",
        ),
    ],
)
def test_the_line_on_what_is_trained_is_the_same_before_and_after_loading(tmp_path, kind, targets, line):
    folder = mixture_folder(tmp_path, kind)
    assert preflight(locate(str(folder)), lora=LoraSpec(targets=targets)).trained == line
    assert training_remark(adapted(folder, targets)) == line


def test_the_line_of_whole_and_of_dense_models(tmp_path):
    glm = load(mixture_folder(tmp_path / "glm", "glm4_moe"))
    assert training_remark(glm) == "all weights are trained: attention, dense MLP, shared MLP, experts, router"
    dense = ar_folder(tmp_path / "dense", tie_word_embeddings=False)
    assert training_remark(load(dense)) is None
    assert training_remark(adapted(dense)) == "LoRA on attention, MLP and the mask token's row"
    assert training_remark(adapted(dense, ("lm_head", "v_proj"))) == (
        "LoRA on attention (2 of 8), LM head and the mask token's row; frozen: MLP"
    )


@kinds
def test_routers_are_found_under_adapters_too(tmp_path, kind):
    lm = load(mixture_folder(tmp_path, kind))
    bare = layer_groups(lm.stock)
    under = layer_groups(add_lora(lm, LoraSpec(rank=2, targets=WITH_EXPERTS)).stock)
    assert bare.is_mixture
    assert (under.linear, under.stacked, list(under.routers)) == (bare.linear, bare.stacked, list(bare.routers))


@main_kinds
def test_an_adapter_on_experts_costs_what_a_token_passes_through(tmp_path, kind):
    lm = load(mixture_folder(tmp_path, kind))
    body = lm.flops.body
    more = add_lora(lm, LoraSpec(rank=2, targets="experts")).flops
    layers = len(GROUPS[kind][2]) // 2
    one = 2 * (32 + 2 * 16) + 2 * (16 + 32)  # rank x (in + out), of gate_up and of down
    assert more.body - body == layers * one * 2  # two of four experts
    assert more.trained_body == layers * one * 2
