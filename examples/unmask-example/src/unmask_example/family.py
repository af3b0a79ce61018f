"""A family: checkpoints that a stock transformers class computes under other names."""

from typing import Any

from unmask.models.families import FAMILIES, Family, Rule, WeightRules

RULES = WeightRules(
    (
        Rule("embed.weight", "model.embed_tokens.weight"),
        Rule("layers.{layer}.{rest}", "model.layers.{layer}.{rest}"),
        Rule("norm.weight", "model.norm.weight"),
        Rule("head.weight", "lm_head.weight"),
    )
)


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


TOWER = Family(name="tower", title="Tower", model_types=("tower",), convert=convert, rules=RULES, shift=False)
FAMILIES.add(TOWER.name, TOWER, __name__)
