"""Families that are Qwen2 or Qwen3 under the names of Qwen's weights.

Dream (arXiv 2508.15487), Dream-Coder, DiffuCoder and DreamOn are Qwen2 with shifted logits; Fast-dLLM v2 (arXiv
2509.26328) is Qwen2 with blocks of 32, shifted; SDLM (arXiv 2509.24007) is Qwen2, causal but for a window at the end.
SDAR (arXiv 2510.06303) and TraDo are Qwen3 with block-causal attention and no shift; WeDLM (arXiv 2512.22737) is causal
Qwen2 or Qwen3, which reads what is written before what is open. ``a2d-qwen2`` and ``a2d-qwen3`` are dllm's conversions,
unshifted. Their facts were read in released code and configurations (SDAR: JetAstra/SDAR; Fast-dLLM v2: a copy of the
released 7B folder; WeDLM: Tencent's hf_compat; SDLM: OpenGVLab/SDLM; Dream and a2d: dllm's copies). Run beside that
code on tiny weights in float32, the stock classes gave the same logits, to the bit, in all seven.

SDLM and WeDLM state ``causal``: a plain text is read causally. What their open columns see beyond that is a view of the
decoder (``anchored``, ``reordered``), which ``decoding`` names.
"""

from typing import Any

from unmask.errors import UserError
from unmask.models.families.base import FAMILIES, Family
from unmask.models.families.rules import same_names
from unmask.models.families.stock import BD3LM, as_released, as_stock, taken

MASK = {"sdar": 151669, "dream": 151666, "fast_dllm_v2": 151665, "wedlm": 151665, "sdlm": 151666}


SDAR_SAMPLER = {
    "block_size": 4,
    "temperature": 1.0,
    "selection": {"name": "threshold", "threshold": 0.85, "strict": True},
}


def _wedlm(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    has_norms, has_bias = config.get("qk_norm", False), config.get("attention_bias", True)
    if has_norms == has_bias:
        raise UserError(
            "stock Qwen computes WeDLM models with qk_norm and without attention_bias (Qwen3), or the other way round "
            f"(Qwen2), found qk_norm={has_norms} and attention_bias={has_bias}"
        )
    model_type = "qwen3" if has_norms else "qwen2"
    fields = taken(model_type, config)
    if has_norms:
        return model_type, fields | {"attention_bias": False}
    return model_type, {key: value for key, value in fields.items() if key != "attention_bias"}


def _sdar(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if config.get("use_regular_causal"):
        raise UserError(
            "config.json has use_regular_causal=true: a fork of SDAR whose prompt is causal, which no attention rule "
            "here computes; use a released SDAR checkpoint"
        )
    return "qwen3", taken("qwen3", config)


def _dream(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if config.get("full_attn_mask", True) is not True:
        raise UserError(
            f"config.json has full_attn_mask={config['full_attn_mask']!r}, expected true as every released Dream model "
            "has: a causal one is no diffusion model; use a released Dream checkpoint"
        )
    return "qwen2", taken("qwen2", config)


DREAM = Family(
    name="dream",
    title="Dream",
    model_types=("Dream",),
    architectures=("DreamModel",),
    convert=_dream,
    restore=as_released("layer_types", mask_token_id=None, full_attn_mask=True),
    rules=same_names(),
    shift=True,
    mask_id=MASK["dream"],
    decoding={
        "blocks": "whole",
        "selection": {"name": "dream", "alg": "entropy"},
        "proposal": {"name": "nucleus", "temperature": 0.2, "top_p": 0.95, "scores": "shaped_with_mask"},
    },
    eos_ids=(151643,),
    tokenizer_class="Qwen2Tokenizer",
)
FAST_DLLM_V2 = Family(
    name="fast_dllm_v2",
    title="Fast-dLLM v2",
    model_types=("Fast_dLLM_Qwen",),
    architectures=("Fast_dLLM_QwenForCausalLM",),
    convert=as_stock("qwen2"),
    restore=as_released(),
    rules=same_names(),
    shift=True,
    attention="block_causal",
    grid="text",
    block_size=32,
    block_size_key="bd_size",
    mask_id=MASK["fast_dllm_v2"],
    decoding={
        "blocks": {"name": "sub_blocks", "sub_block_size": 8},
        "selection": {"name": "threshold", "threshold": 1.0, "strict": True},
    },
    eos_ids=(151645,),
    tokenizer_class="Qwen2Tokenizer",
)
SDLM = Family(
    name="sdlm",
    title="SDLM",
    model_types=("qwen2",),
    architectures=("Qwen2ForCausalLM", "SDLMQwen2ForCausalLM", "SDLMForCausalLM"),
    needs_keys=("text_mask_token_id",),
    convert=as_stock("qwen2"),
    rules=same_names(),
    shift=True,
    attention="context_causal",
    block_size=4,
    mask_id=MASK["sdlm"],
    eos_ids=(151645, 151643),
    decoding={"view": {"name": "anchored"}, "blocks": {"name": "sliding"}, "selection": {"name": "prefix"}},
    tokenizer_class="Qwen2Tokenizer",
)
WEDLM = Family(
    name="wedlm",
    title="WeDLM",
    model_types=("wedlm",),
    architectures=("WeDLMForCausalLM",),
    convert=_wedlm,
    rules=same_names(),
    shift=False,
    attention="causal",
    block_size=32,
    mask_id=MASK["wedlm"],
    eos_ids=(151645, 151643),
    decoding={"view": {"name": "reordered"}, "selection": {"name": "wedlm"}},
    tokenizer_class="Qwen2Tokenizer",
)
SDAR = Family(
    name="sdar",
    title="SDAR",
    model_types=("sdar",),
    architectures=("SDARForCausalLM",),
    convert=_sdar,
    restore=as_released(tie_word_embeddings=False),
    rules=same_names(),
    shift=False,
    attention="block_causal",
    grid="text",
    block_size=4,
    mask_id=MASK["sdar"],
    decoding=SDAR_SAMPLER,
    eos_ids=(151645, 151643),
    tokenizer_class="Qwen2Tokenizer",
)
A2D_QWEN2 = Family(
    name="a2d_qwen2",
    title="Qwen2 diffusion",
    model_types=("a2d-qwen2",),
    architectures=("A2DQwen2LMHeadModel",),
    convert=as_stock("qwen2"),
    restore=as_released(),
    rules=same_names(),
    shift=False,
    variants=BD3LM,
    tokenizer_class="Qwen2Tokenizer",
)
A2D_QWEN3 = Family(
    name="a2d_qwen3",
    title="Qwen3 diffusion",
    model_types=("a2d-qwen3",),
    architectures=("A2DQwen3LMHeadModel",),
    convert=as_stock("qwen3"),
    restore=as_released(),
    rules=same_names(),
    shift=False,
    variants=BD3LM,
    tokenizer_class="Qwen2Tokenizer",
)
for _family in (DREAM, FAST_DLLM_V2, SDLM, WEDLM, SDAR, A2D_QWEN2, A2D_QWEN3):
    FAMILIES.add(_family.name, _family, __name__)
