"""Every registered component in some decoder."""

import pytest

from unmask.decoding import BLOCK_RULES, CACHES, PROPOSALS, REVISIONS, SEARCHES, SELECTIONS, STOPS, VIEWS
from unmask.decoding.scores import SCORES

DECODERS = {
    **{f"selection-{name}": {"selection": name} for name in SELECTIONS},
    **{f"score-{name}": {"selection": {"name": "quota", "score": name}} for name in SCORES},
    **{f"blocks-{name}": {"blocks": name} for name in BLOCK_RULES},
    **{f"proposal-{name}": {"proposal": name} for name in PROPOSALS},
    **{f"revision-{name}": {"revision": name} for name in REVISIONS if name != "remdm_rounds"},
    "revision-remdm_rounds": {"revision": {"name": "remdm_rounds", "rounds": 3}},
    **{f"stop-{name}": {"stop": name} for name in STOPS},
    **{f"cache-{name}": {"cache": name} for name in CACHES},
    **{f"view-{name}": {"view": name} for name in VIEWS},
    **{f"search-{name}": {"search": {"name": name, "particles": 1}} for name in SEARCHES if name != "none"},
    **{f"dream-{alg}": {"selection": {"name": "dream", "alg": alg}} for alg in ("maskgit_plus", "topk_margin")},
    "dream-random-origin": {"selection": {"name": "dream", "alg": "origin"}},
    "dream-random-alg_temp": {"selection": {"name": "dream", "alg_temp": 0.5}, "blocks": "whole", "steps": 5},
    "dilated-skip": {"selection": {"name": "dilated", "skip": 2}},
    "prefix-product": {"selection": {"name": "prefix", "by": "product", "threshold": 0.2}},
    "certain-prefix": {"selection": {"name": "prefix", "score": "certainty", "threshold": 0.1}},
    "adablock": {"blocks": {"name": "adablock", "delimiters": [3, 5], "threshold": 0.2, "window": 0.5}},
    "adablock-threshold": {"blocks": {"name": "adablock", "delimiters": [3, 5], "threshold": 0.1}, "threshold": 0.3},
    "swordsman": {"blocks": {"name": "swordsman", "jump": 0.05, "least": 1}, "selection": "swordsman"},
    "klass-eager": {"selection": {"name": "klass", "threshold": 0.1, "drift": 9.0, "calm": 1}},
    "hierarchical-low": {"selection": {"name": "hierarchical", "low": 0.1}, "blocks": "whole"},
    "credit-low": {"selection": {"name": "credit", "threshold": 0.3}},
    "pc_sampler-counts": {"selection": {"name": "pc_sampler", "frequencies": {3: 9, 5: 1}}, "steps": 6},
    "info_gain-gumbel": {"selection": "info_gain", "proposal": {"name": "gumbel", "temperature": 1.0}, "steps": 6},
    "info_gain-no_eos": {"selection": {"name": "info_gain", "choices": 3}, "proposal": "no_eos"},
    "spaced": {"selection": {"name": "spaced", "gap": 3, "inner": {"name": "threshold", "threshold": 0.1}}},
    "sub-blocks": {"blocks": {"name": "sub_blocks", "sub_block_size": 2}, "threshold": 0.3},
    "sub-blocks-unseeded": {"blocks": {"name": "sub_blocks", "sub_block_size": 3, "seeded": False}, "steps": 12},
    "sliding-threshold": {"blocks": "sliding", "threshold": 0.3},
    "sliding-klass": {"blocks": "sliding", "selection": {"name": "klass", "threshold": 0.1, "drift": 9.0, "calm": 1}},
    "sliding-dual": {"blocks": "sliding", "threshold": 0.3, "cache": {"name": "dual", "look_back": 2}},
    "sliding-steps": {"blocks": "sliding", "steps": 6},
    "sliding-dream": {"blocks": "sliding", "selection": "dream", "steps": 6},
    "sliding-remedi": {"blocks": "sliding", "revision": "remedi", "threshold": 0.3},
    "sliding-edit": {"blocks": "sliding", "revision": {"name": "edit", "threshold": 0.1}, "threshold": 0.3},
    "wedlm": {
        "blocks": {"name": "sliding", "longest": 4},
        "selection": {"name": "wedlm", "threshold": 1.8},
        "view": "reordered",
    },
    "edit-everything": {"revision": {"name": "edit", "threshold": 0}, "threshold": 0.3},
    "edit-nothing": {"revision": {"name": "edit", "threshold": 1}},
    "remedi-threshold": {"revision": "remedi", "threshold": 0.3},
    "remedi-adablock": {"revision": "remedi", "blocks": {"name": "adablock", "delimiters": [3, 5], "threshold": 0.1}},
    "remedi-cfg": {"revision": "remedi", "view": "cfg"},
    "saber-threshold": {"revision": "saber", "threshold": 0.3, "blocks": "whole"},
    "saber-bold": {"revision": {"name": "saber", "share": 0.6}, "selection": {"name": "saber", "least": 4}},
    "wino-bold": {
        "revision": {"name": "wino", "threshold": 2},
        "selection": {"name": "wino", "threshold": 0.1},
        "blocks": "whole",
    },
    "wino-nothing": {"revision": {"name": "wino", "threshold": 0}, "cache": "dual"},
    "edit-shadow": {"revision": {"name": "edit", "threshold": 0.3}, "view": "shadow", "threshold": 0.3},
    "remdm-often": {"revision": {"name": "remdm", "eta": 0.5}, "blocks": "whole"},
    "remdm-rescale": {"revision": {"name": "remdm", "strategy": "rescale", "eta": 1}, "steps": 6},
    "remdm-conf": {"revision": {"name": "remdm", "strategy": "conf"}, "blocks": "whole"},
    "remdm-loop": {"revision": {"name": "remdm", "strategy": "loop", "eta": 0.1}, "blocks": "whole", "steps": 20},
    "remdm-quota": {"revision": {"name": "remdm", "eta": 0.3}, "selection": "quota"},
    "remdm-sliding": {"revision": {"name": "remdm", "eta": 0.3}, "blocks": "sliding"},
    "remdm_rounds-whole": {"revision": {"name": "remdm_rounds", "rounds": 4, "number": 2}, "blocks": "whole"},
    "anchored-prefix": {"view": "anchored", "selection": {"name": "prefix", "threshold": 0.2}},
    "anchored-edit": {"view": "anchored", "revision": {"name": "edit", "threshold": 0.3}, "threshold": 0.3},
    "dkv-threshold": {"cache": {"name": "dkv", "refresh_every": 3}, "threshold": 0.3},
    "dkv-saber": {"cache": "dkv", "revision": "saber", "blocks": "whole"},
    "late-gumbel": {"proposal": {"name": "late_eos", "inner": "gumbel"}},
    "shaped": {"proposal": {"name": "nucleus", "temperature": 0, "top_p": 0.5, "scores": "shaped"}},
    "steps": {"steps": 6},
    "threshold": {"threshold": 0.3},
}
every = pytest.mark.parametrize("name", DECODERS)
RANDOM = (
    "random",
    "gumbel",
    "'proposal': 'nucleus'",
    "'proposal': 'top_k'",
    "origin",
    "alg_temp",
    "info_gain",
    "remdm",
)
"""Settings of decoders that draw at temperature 0."""


def is_any(components, name):
    """Whether the settings of a decoder name one of these."""
    return any(component in str(DECODERS[name]) for component in components)
