"""What is recorded: every objective and every part of a decoder, under their recipe names."""

BLOCKS = {"block_size": 4}
TWO_STREAMS = {"name": "blockwise", **BLOCKS, "blocks": "all", "layout": "two_streams"}

TRAINING = {
    "vanilla": {"name": "vanilla"},
    "vanilla-per_masked": {"name": "vanilla", "normaliser": "per_masked", "tail": "hidden", "stratified": False},
    "blockwise": {"name": "blockwise", **BLOCKS},
    "blockwise-elbo-noisy": {
        "name": "blockwise", **BLOCKS, "weighting": "elbo", "choose": "length", "prefix_noise": 0.2,
        "suffix_visibility": 0.3,
    },
    "blockwise-lift": {"name": "blockwise", **BLOCKS, "inner": "lift"},
    "blockwise-gift": {"name": "blockwise", **BLOCKS, "inner": "gift"},
    "blockwise-all-cart": {"name": "blockwise", **BLOCKS, "blocks": "all", "inner": "cart"},
    "two-streams": TWO_STREAMS,
    "two-streams-lift": {**TWO_STREAMS, "inner": "lift"},
    "block_diffusion": {"name": "block_diffusion", **BLOCKS},
    "block_diffusion-redraw": {"name": "block_diffusion", **BLOCKS, "t_per": "example", "redraw": 2},
    "fast_dllm_v2": {"name": "fast_dllm_v2", **BLOCKS},
    "nbdiff": {"name": "nbdiff", **BLOCKS},
    "wsd": {"name": "wsd", **BLOCKS},
    "wsd-cap": {"name": "wsd", **BLOCKS, "cap": 0.5, "complementary": True, "normaliser": "per_masked_row"},
    "sdlm": {"name": "sdlm", **BLOCKS},
    "cart": {"name": "cart"},
    "gift": {"name": "gift"},
    "papl": {"name": "papl"},
    "lift": {"name": "lift"},
    "lift-window": {"name": "lift", "components": 5, "middle": "window", "mode_per": "batch"},
    "lift-approximate": {"name": "lift", "approximate": True, "order": "reversed", "policy": "random"},
    "lift-ties": {"name": "lift"},
    "blockwise-gift-ties": {"name": "blockwise", **BLOCKS, "inner": "gift"},
    "remedi": {"name": "remedi"},
    "soft_masked": {"name": "soft_masked", "first_scale": 0.3},
    "soft_masked-blockwise": {"name": "soft_masked", "first_scale": 0.3, "inner": {"name": "blockwise", **BLOCKS}},
    "complementary": {"name": "complementary"},
    "complementary-blockwise-lift": {
        "name": "complementary", "inner": {"name": "blockwise", **BLOCKS, "inner": "lift"}
    },
    "complementary-block_diffusion": {"name": "complementary", "inner": {"name": "block_diffusion", **BLOCKS}},
    "mixture": {
        "name": "mixture", "members": [{"name": "lift"}, {"name": "blockwise", **BLOCKS}], "weights": [1, 2]
    },
    "mixture-of-layouts": {
        "name": "mixture",
        "members": [{"name": "vanilla"}, {"name": "block_diffusion", **BLOCKS}, {"name": "remedi"}],
    },
}  # fmt: skip
"""Name of the case -> ``objective:`` of a recipe."""

TIES = ("lift-ties", "blockwise-gift-ties")
"""Cases whose model finds all tokens equally likely at first."""

SHIFTED = ("block_diffusion-redraw", "fast_dllm_v2", "nbdiff", "sdlm", "soft_masked-blockwise")
"""Cases whose model predicts a column from the state before it."""

BOLD = {"name": "threshold", "threshold": 0.2}
REGEX = {"name": "regex", "pattern": "([0-9]{2},)+[0-9]*"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}

DECODING = {
    "plain": {},
    "steps": {"steps": 6},
    "quota-margin": {"selection": {"name": "quota", "score": "margin"}},
    "quota-entropy": {"selection": {"name": "quota", "score": "entropy"}},
    "quota-certainty": {"selection": {"name": "quota", "score": "certainty"}},
    "quota-random": {"selection": {"name": "quota", "score": "random"}},
    "quota-random_order": {"selection": {"name": "quota", "score": "random_order"}},
    "threshold": {"threshold": 0.2},
    "factor": {"selection": {"name": "factor", "factor": 2.5}},
    "prefix": {"selection": {"name": "prefix", "by": "product", "threshold": 0.05}},
    "klass": {"selection": {"name": "klass", "threshold": 0.1, "drift": 9.0, "calm": 1}},
    "credit": {"selection": {"name": "credit", "threshold": 0.3}},
    "dilated": {"selection": {"name": "dilated", "skip": 2}, "blocks": "whole"},
    "dream": {"selection": "dream", "blocks": "whole", "steps": 5},
    "dream-origin": {"selection": {"name": "dream", "alg": "origin"}, "blocks": "whole", "steps": 5},
    "dream-alg_temp": {"selection": {"name": "dream", "alg": "topk_margin", "alg_temp": 0.5}},
    "entropy_bound": {"selection": {"name": "entropy_bound", "bound": 2.5}},
    "hierarchical": {"selection": {"name": "hierarchical", "low": 0.1}, "blocks": "whole"},
    "info_gain": {"selection": {"name": "info_gain", "choices": 3}},
    "pc_sampler": {"selection": {"name": "pc_sampler", "frequencies": {3: 9, 5: 1}}},
    "spaced": {"selection": {"name": "spaced", "gap": 3, "inner": BOLD}},
    "swordsman": {"blocks": {"name": "swordsman", "jump": 0.05, "least": 1}, "selection": "swordsman"},
    "adablock": {"blocks": {"name": "adablock", "delimiters": [3, 9, 43], "threshold": 0.05, "window": 0.5}},
    "fixed": {"blocks": {"name": "fixed"}},
    "whole": {"blocks": "whole"},
    "sliding": {"blocks": "sliding", "threshold": 0.2},
    "sub_blocks": {"blocks": {"name": "sub_blocks", "sub_block_size": 2}, "threshold": 0.2},
    "wedlm": {
        "blocks": {"name": "sliding", "longest": 4}, "selection": {"name": "wedlm", "threshold": 1.8},
        "view": "reordered",
    },
    "greedy": {"proposal": "greedy"},
    "gumbel": {"temperature": 0.8},
    "nucleus": {"proposal": {"name": "nucleus", "temperature": 0.9, "top_p": 0.7, "scores": "shaped"}},
    "top_k": {"proposal": {"name": "top_k", "top_k": 3, "temperature": 1.0}},
    "no_eos": {"proposal": "no_eos", "stop": "eos"},
    "late_eos": {"proposal": {"name": "late_eos", "inner": "gumbel"}, "stop": "eos"},
    "eos": {"stop": "eos", "blocks": "whole"},
    "edit": {"revision": {"name": "edit", "threshold": 0.2}, "threshold": 0.15},
    "remedi": {"revision": "remedi", "threshold": 0.2},
    "saber": {"revision": {"name": "saber", "share": 0.4}, "blocks": "whole"},
    "wino": {
        "revision": {"name": "wino", "threshold": 0.3}, "selection": {"name": "wino", "threshold": 0.1},
        "blocks": "whole",
    },
    "remdm": {"revision": {"name": "remdm", "eta": 0.4}, "blocks": "whole"},
    "remdm-conf": {"revision": {"name": "remdm", "strategy": "conf"}, "blocks": "whole"},
    "remdm-loop": {"revision": {"name": "remdm", "strategy": "loop", "eta": 0.1}, "steps": 9},
    "remdm_rounds": {"revision": {"name": "remdm_rounds", "rounds": 2, "number": 2}},
    "anchored": {"view": "anchored", "selection": {"name": "prefix", "threshold": 0.05}},
    "canvas": {"view": "canvas"},
    "cfg": {"view": {"name": "cfg", "scale": 0.7}},
    "reordered": {"view": "reordered"},
    "shadow": {"view": "shadow", "revision": {"name": "edit", "threshold": 0.2}, "threshold": 0.2},
    "soft_mask": {"view": "soft_mask"},
    "ties": {"steps": 6},
    "ties-saber": {"revision": {"name": "saber", "share": 0.4}, "blocks": "whole"},
    "no-cache": {"cache": "none"},
    "block": {"cache": "block"},
    "prefix-cache": {"cache": {"name": "prefix", "refresh_every": 2}},
    "dual": {"cache": {"name": "dual", "look_back": 2}, "threshold": 0.2},
    "dkv": {"cache": {"name": "dkv", "refresh_every": 3}},
    "dual-sliding": {"blocks": "sliding", "threshold": 0.2, "cache": {"name": "dual", "look_back": 2}},
    "regex": {"constraint": REGEX, "stop": "eos"},
    "json_schema": {"constraint": {"name": "json_schema", "json_schema": SCHEMA}, "stop": "eos", "blocks": "whole"},
    "best_of": {"search": {"name": "best_of", "particles": 2}, "temperature": 1.0},
    "smc": {"search": {"name": "smc", "particles": 3, "resample_below": 0.9}, "temperature": 1.0, "threshold": 0.2},
    "no-search": {"search": "none", "constraint": "none", "revision": "none"},
}  # fmt: skip
"""Name of the case -> fields of a decoder."""

MODELS = {
    "remedi": {"heads": {"confidence": {"taps": 2}}},
    "json_schema": {"tokenizer": "ascii"},
    "soft_mask": {"heads": {"soft_mask": {"scale": 0.4}}},
    "ties": {"ties": True},
    "ties-saber": {"ties": True},
    "no_eos": {"likely_end": True},
    "late_eos": {"likely_end": True},
    "eos": {"likely_end": True},
    "best_of": {"likely_end": True},
    "smc": {"likely_end": True},
    "block": {"attention": "block_causal", "layers": 2, "shift": True},
    "prefix-cache": {"layers": 2},
    "dual": {"layers": 2},
    "dkv": {"layers": 2, "shift": True},
    "dual-sliding": {"layers": 2},
    "anchored": {"attention": "context_causal", "shift": True},
    "sub_blocks": {"attention": "block_causal", "shift": True},
}
"""Decoding cases with another model than the bidirectional one of one layer."""

INFILLING = {"threshold": [1, 6], "saber": [2], "dual": [0, 1, 2, 3]}
"""Decoding cases in which the canvas holds given tokens, by their offsets."""

RUNS = {
    "accumulated": {
        "objective": {"name": "blockwise", **BLOCKS, "inner": "lift"}, "accumulate": 2, "batch_size": 2,
        "schedule": "linear", "weight_decay": 0.1,
    },
    "with-a-head": {"objective": {"name": "remedi", "head_lr": 1e-2}, "weight_decay": 0.1, "max_grad_norm": 0.5},
    "packed": {"objective": "vanilla", "schedule": "constant", "warmup": 0.2},
}  # fmt: skip
"""Name of the case -> ``run:`` of a recipe, for whole runs of the trainer."""

LAYOUTS = {"packed": {"pack": True, "max_length": 64}}
"""Runs with another layout of rows than one example each."""
