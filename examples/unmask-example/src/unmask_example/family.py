"""A family: checkpoints that a stock transformers class computes under other names."""

from typing import Any

from unmask.models.families import FAMILIES, Family

_TOP = {
    "embed.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}


def convert(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the stock class's model type, and its settings from those of ``config.json``."""
    return "llama", {
        "vocab_size": config["vocabulary"],
        "hidden_size": config["width"],
        "intermediate_size": config["inner_width"],
        "num_hidden_layers": config["depth"],
        "num_attention_heads": config["heads"],
        "num_key_value_heads": config["heads"],
        "tie_word_embeddings": False,
        "is_causal": False,
        "use_cache": False,
    }


def rename(name: str) -> str | None:
    """Return a weight's stock name; None for one that the stock class does not have.

    >>> rename("layers.0.self_attn.q_proj.weight"), rename("embed.weight")
    ('model.layers.0.self_attn.q_proj.weight', 'model.embed_tokens.weight')
    """
    return f"model.{name}" if name.startswith("layers.") else _TOP.get(name)


TOWER = Family(name="Tower", model_type="tower", convert=convert, rename=rename, shift=False)
FAMILIES.add(TOWER.model_type, TOWER, __name__)
