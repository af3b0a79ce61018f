"""Families whose fields of ``config.json`` have the stock names already."""

from collections.abc import Callable, Iterable
from typing import Any

from unmask.runtime.transformers_api import stock_fields

_SERVICE = {
    "architectures", "auto_map", "model_type", "torch_dtype", "dtype", "transformers_version", "use_cache",
    "is_causal", "id2label", "label2id", "return_dict", "output_attentions", "output_hidden_states", "problem_type",
    "chunk_size_feed_forward", "is_encoder_decoder", "unmask", "attn_implementation",
}  # fmt: skip


BD3LM = {"bd3lm": {"attention": "block_causal", "grid": "text", "block_size": 32}}
"""dllm's conversions to block diffusion: nothing but the repository's name tells them from those to full attention."""


def taken(model_type: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of ``config.json`` that a stock configuration has; others (junk of training) are left out.

    Args:
        model_type: of the stock class.
        config: content of ``config.json``.

    Returns:
        Its fields, with ``is_causal`` and ``use_cache`` off; False where a window or a rotary scaling should be null.
    """
    kept = {key: value for key, value in config.items() if key in stock_fields(model_type) and key not in _SERVICE}
    for key in ("sliding_window", "rope_scaling"):
        if kept.get(key) is False:
            kept[key] = None
    return kept | {"is_causal": False, "use_cache": False}


def flat_rotary(config: dict[str, Any]) -> dict[str, Any]:
    """Return ``config.json`` with the keys of its ``rope_parameters`` (newer files) as keys of their own.

    Args:
        config: content of ``config.json``.

    Returns:
        The same, ``rope_theta`` and ``partial_rotary_factor`` beside the others; ``rope_scaling`` is None where it asks
        for nothing.
    """
    rope = dict(config.get("rope_parameters") or {})
    flat = {key: rope.pop(key) for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    scaling = config.get("rope_scaling") or rope
    if not scaling or scaling.get("rope_type", scaling.get("type")) in (None, "default"):
        scaling = None
    return config | flat | {"rope_scaling": scaling}


def as_stock(model_type: str) -> Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]:
    """Return the ``convert`` of a family whose configuration is that of a stock ``model_type``."""

    def convert(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return model_type, taken(model_type, config)

    return convert


def as_released(*left_out: str, **released: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the ``restore`` of a family whose configuration is a stock one.

    Args:
        *left_out: fields that the released configuration has not.
        **released: fields that it has beside the stock ones.

    Returns:
        A function from stock fields to those of ``config.json``, rotary settings in their older spelling.
    """

    def restore(stock: dict[str, Any]) -> dict[str, Any]:
        return old_rotary(without(stock, left_out)) | released

    return restore


def without(stock: dict[str, Any], keys: Iterable[str] = ()) -> dict[str, Any]:
    """Return stock fields without those that concern transformers or unmask only, and without ``keys``."""
    dropped = {*_SERVICE, *keys, "_name_or_path", "mask_token_id", "layer_types"}
    return {key: value for key, value in stock.items() if key not in dropped}


def old_rotary(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with ``rope_theta`` and ``rope_scaling`` in place of ``rope_parameters``, as older code reads."""
    kept = dict(fields)
    rope = dict(kept.pop("rope_parameters", None) or {})
    kept["rope_theta"] = rope.pop("rope_theta", 10_000.0)
    partial = rope.pop("partial_rotary_factor", None)
    if partial is not None:
        kept["partial_rotary_factor"] = partial
    kept["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
    return kept
