"""Families whose weights have Qwen's names already: Dream, SDAR, and the Qwen conversions of dllm.

Dream (arXiv 2508.15487), DiffuCoder and Dream-Coder are Qwen2 with shifted logits; SDAR (arXiv 2510.06303) and TraDo
are Qwen3 with block-causal attention and no shift; ``a2d-qwen2`` and ``a2d-qwen3`` are dllm's conversions, unshifted.
Their facts were read in released code and configurations; no such checkpoint was run.
"""

from collections.abc import Callable
from typing import Any

from unmask.models.families.base import FAMILIES, Family

_NOT_STOCK = {"architectures", "auto_map", "model_type", "torch_dtype", "dtype", "transformers_version", "use_cache"}


def _stock(model_type: str) -> Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]:
    def convert(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        kept = {key: value for key, value in config.items() if key not in _NOT_STOCK}
        return model_type, kept | {"is_causal": False, "use_cache": False}

    return convert


def _same(name: str) -> str:
    return name


DREAM = Family(
    name="Dream",
    model_type="Dream",
    convert=_stock("qwen2"),
    rename=_same,
    shift=True,
    tokenizer_class="Qwen2Tokenizer",
)
SDAR = Family(
    name="SDAR",
    model_type="sdar",
    convert=_stock("qwen3"),
    rename=_same,
    shift=False,
    attention="block_causal",
    grid="text",
    block_size=4,
    tokenizer_class="Qwen2Tokenizer",
)
MDLM_QWEN2 = Family(
    name="Qwen2 diffusion",
    model_type="a2d-qwen2",
    convert=_stock("qwen2"),
    rename=_same,
    shift=False,
    tokenizer_class="Qwen2Tokenizer",
)
MDLM_QWEN3 = Family(
    name="Qwen3 diffusion",
    model_type="a2d-qwen3",
    convert=_stock("qwen3"),
    rename=_same,
    shift=False,
    tokenizer_class="Qwen2Tokenizer",
)
for _family in (DREAM, SDAR, MDLM_QWEN2, MDLM_QWEN3):
    FAMILIES.add(_family.model_type, _family, __name__)
