"""How llama.cpp lays out diffusion language models in a gguf file: architectures, keys, names of tensors.

Read in ggml-org/llama.cpp: ``conversion/dream.py``, ``conversion/llada.py``, ``conversion/qwen.py`` (what is written),
``src/models/{dream,llada,llada-moe,rnd1}.cpp`` and ``examples/diffusion/diffusion-cli.cpp`` (what is computed).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from unmask.models.families.rules import Rule, WeightRules, renamed

SHIFT_KEY = "diffusion.shift_logits"
MASK_KEY = "tokenizer.ggml.mask_token_id"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A gguf architecture of diffusion language models.

    Args:
        architecture: value of ``general.architecture``.
        family: name of the family that is read from it.
        stock: model types of the stock classes that it computes.
        is_turned: whether rotary positions turn neighbouring pairs of a head's rows, not its halves: the rows of query
            and key are then stored in another order than the stock class has.
        is_sparse: whether each layer has experts.
        fields: fields of the stock configuration that the architecture fixes.
        split: how text is cut before merging where a tokenizer does not tell; a value of ``tokenizer.ggml.pre``.
    """

    architecture: str
    family: str
    stock: tuple[str, ...]
    is_turned: bool = False
    is_sparse: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    split: str = "qwen2"


_EXPERTS = {"decoder_sparse_step": 1, "mlp_only_layers": [], "attention_bias": False}
LAYOUTS = (
    Layout(architecture="dream", family="dream", stock=("qwen2",)),
    Layout(architecture="llada", family="llada", stock=("llama", "qwen2"), is_turned=True, split="llama-bpe"),
    Layout(
        architecture="llada-moe",
        family="llada_moe",
        stock=("qwen3_moe",),
        is_sparse=True,
        fields={**_EXPERTS, "norm_topk_prob": False},
        split="llada-moe",
    ),
    Layout(
        architecture="rnd1",
        family="rnd1",
        stock=("qwen3_moe",),
        is_sparse=True,
        fields={**_EXPERTS, "norm_topk_prob": True},
    ),
)
BY_ARCHITECTURE = {layout.architecture: layout for layout in LAYOUTS}
BY_FAMILY = {layout.family: layout for layout in LAYOUTS}

_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_gate_inp": "mlp.gate",
}
_STACKS = (
    ("ffn_gate_exps", "gate_up_proj", 0),
    ("ffn_up_exps", "gate_up_proj", 1),
    ("ffn_down_exps", "down_proj", None),
)
RULES = WeightRules(
    (
        *renamed(
            {
                "token_embd.{kind}": "model.embed_tokens.{kind}",
                "output_norm.{kind}": "model.norm.{kind}",
                "output.{kind}": "lm_head.{kind}",
                **{
                    f"blk.{{layer}}.{ours}.{{kind}}": f"model.layers.{{layer}}.{s}.{{kind}}"
                    for ours, s in _LAYER.items()
                },
            }
        ),
        *(
            Rule(
                f"blk.{{layer}}.{name}.weight", f"model.layers.{{layer}}.mlp.experts.{stock}", half=half, is_stack=True
            )
            for name, stock, half in _STACKS
        ),
    )
)


def to_pairs(weight: Tensor, heads: int) -> Tensor:
    """Return the rows of a query or key projection in the order of files whose rotary positions turn neighbours.

    The stock classes turn row i of a head together with row i + h/2, for heads of h rows; llama.cpp's ``llada`` turns
    rows 2i and 2i + 1.

    Args:
        weight: ``[heads * h, ...]``, also a bias.
        heads: of this projection.

    Returns:
        A tensor of the same shape, of which row 2i of each head was row i, and row 2i + 1 was row i + h/2.
    """
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape).contiguous()


def to_halves(weight: Tensor, heads: int) -> Tensor:
    """Return the rows of a query or key projection in the order of the stock classes; undoes ``to_pairs``."""
    return weight.reshape(heads, -1, 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape).contiguous()
