"""Checks ``config.json`` before a model is built: keys that ask for code or downloads are left out, sizes bounded."""

import logging
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from unmask.errors import UserError, shorten
from unmask.models.native import unguarded
from unmask.models.weights import FLOATS, Stored
from unmask.runtime import transformers_api
from unmask.runtime.foreign import foreign, read_object, walk

LOG = logging.getLogger(__name__)
MOST = 16 * 2**20  # bytes
REFUSED = ("quantization_config", "compression_config")
"""Keys that change how weights are stored: without them the weights would be misread."""
LEFT_OUT = (
    "attn_implementation", "experts_implementation", "auto_map", "name_or_path", "use_kernels", "kernel_config",
    "kernel_mapping", "custom_pipelines", "custom_generate", "trust_remote_code", "code_revision", "revision",
    "transformers_weights", "base_model_name_or_path", "adapter_kwargs", "device_map", "tp_plan", "pp_plan", "tp_size",
    "ep_plan", "distributed_config", "backbone", "use_pretrained_backbone", "use_timm_backbone", "fusion_config",
    "gguf_file", "weights_only", "cache_dir", "token", "proxies", "compile_config", "peft_config", "num_labels",
    "id2label", "label2id",
)  # fmt: skip
"""Keys by which transformers would fetch or run something, or choose another computation."""
QUIET = (
    "attn_implementation", "_name_or_path", "_model_name_or_path", "_commit_hash", "name_or_path", "auto_map",
    "_attn_implementation_autoset", "num_labels", "id2label", "label2id",
)  # fmt: skip
"""Keys left out without a warning: nearly every folder has them, or they do not concern a language model (a table of
10^9 labels took 23 GB)."""

_COUNT = re.compile(r"(num|n)_\w+|(\w+_)?(layers?|experts|blocks|stages|heads|groups|depth)")
_DTYPES = ("float32", "float16", "bfloat16", "float64", "auto")
_SIZE = re.compile(r"(\w+_)?(size|dim|width|rank|channels)|d_model|d_ff|d_kv|d_inner|ffn_dim")
_NO_SIZE = re.compile(r".*(window|chunk|batch|cache|freq|dropout|prob).*")


def read_config_file(folder: Path) -> dict[str, Any]:
    """Return ``config.json`` without the keys that ask for code or downloads; a warning in the log lists them.

    Args:
        folder: of the model.

    Returns:
        The configuration as JSON types.

    Raises:
        UserError: it cannot be read, has no ``model_type``, an unknown dtype, or quantised weights.
    """
    file = folder / "config.json"
    config = unguarded(read_object(file, MOST))
    for path, value in walk(config):
        if path[-1] in REFUSED and value:
            raise UserError(
                f"'{shorten(file, 120)}' has {path[-1]}: quantised weights are not read; load the unquantised model"
            )
    if not isinstance(config.get("model_type"), str):
        found = shorten(repr(config.get("model_type")), 60)
        raise UserError(f"expected model_type, a name, in '{shorten(file, 120)}', found {found}")
    for path, value in walk(config):
        if path[-1] in ("dtype", "torch_dtype") and value not in (None, *_DTYPES, *(f"torch.{d}" for d in _DTYPES)):
            raise UserError(f"config.json: expected a dtype for {'.'.join(path)}, found {shorten(repr(value), 60)}")
    kept: dict[str, Any]
    kept, out = _cleaned(config)
    if "auto_map" in config:  # tells checkpoints with code of their own; nothing that it names is run
        kept["auto_map"] = config["auto_map"]
    if loud := sorted(set(out) - set(QUIET)):
        LOG.warning("config.json of '%s': %s left out", shorten(folder, 120), shorten(", ".join(loud)))
    return kept


def _cleaned(value: object) -> tuple[Any, list[str]]:
    if isinstance(value, list):
        pairs = [_cleaned(entry) for entry in value]
        return [kept for kept, _ in pairs], [name for _, out in pairs for name in out]
    if not isinstance(value, Mapping):
        return value, []
    kept, out = {}, []
    for key, entry in value.items():
        if key.startswith("_") or key in LEFT_OUT or key in REFUSED:
            out.append(key)
            continue
        kept[key], inner = _cleaned(entry)
        out += inner
    return kept, out


def stock_config(config: Mapping[str, Any]) -> Any:
    """Return transformers' configuration of a known model, without keys that its classes do not read.

    Args:
        config: of ``config.json``.

    Returns:
        A transformers configuration.

    Raises:
        UserError: transformers refuses a value.
    """  # noqa: DOC502
    model_type = config["model_type"]
    kept = {key: value for key, value in config.items() if key not in LEFT_OUT}
    known = {key: value for key, value in kept.items() if is_known(model_type, key) or key == "unmask"}
    if unknown := sorted(kept.keys() - known.keys() - {"mask_token_id", "transformers_version"}):
        LOG.info("config.json: keys that a %s model has not are left out: %s", model_type, shorten(", ".join(unknown)))
    known |= {key: None for key in ("sliding_window", "rope_scaling") if known.get(key) is False}
    with foreign("transformers refuses config.json", "mend that value"):
        return transformers_api.new_config(model_type, {k: v for k, v in known.items() if k != "model_type"})


@cache
def _words(model_type: str) -> frozenset[str]:
    """Return all words in the source of the classes of a model, and of the fields that every configuration has."""
    return frozenset(re.findall(r"\w+", transformers_api.source_of(model_type)))


def is_known(model_type: str, key: str) -> bool:
    """Return whether transformers' classes for a ``model_type`` read a key of its configuration."""
    return key in _words(model_type)


def check_sizes(
    config: Mapping[str, Any], stored: Mapping[str, Stored], *, reads: Callable[[str], bool] | None = None
) -> None:
    """Check the sizes of a configuration against the weights, before a model is built.

    Args:
        config: of the model.
        stored: its tensors; empty where they are not known.
        reads: whether the model reads a key (all of them if None): others, such as ``num_diffusion_steps``, are left
            out of the model and may have any size.

    Raises:
        UserError: a size is larger than the weights allow, or weights are not floating-point numbers.
    """
    for name, tensor in stored.items():
        if name.endswith("weight") and len(tensor.shape) > 1 and tensor.dtype not in FLOATS:
            raise UserError(
                f"expected floating-point weights, found '{shorten(name, 80)}' as {tensor.dtype}; load the unquantised "
                "model"
            )
    widest = max((size for tensor in stored.values() for size in tensor.shape), default=2**20)
    counts, sizes = max(64, len(stored), 0 if stored else 1024), max(2**12, 64 * widest)
    for path, value in walk(config):
        key = path[-1]
        if reads is not None and not reads(key):
            limit = None
        elif _NO_SIZE.fullmatch(key) or path[0] == "unmask":
            limit = 2**40 if type(value) is int else None
        elif _COUNT.fullmatch(key):
            limit = counts if key.endswith(("layer", "layers", "blocks", "stages")) else max(64, widest)
        elif key == "vocab_size":
            limit = max(2**12, widest)
        else:
            limit = sizes if _SIZE.fullmatch(key) else None
        _check_number(shorten(".".join(path), 80), value, limit)


def _check_number(key: str, value: object, limit: int | None) -> None:
    if isinstance(value, (list, tuple)):
        for entry in value:
            if not isinstance(entry, str):
                _check_number(key, entry, limit)
        return
    if value is None or isinstance(value, (bool, Mapping)):
        return
    if limit is None:
        if isinstance(value, int) and abs(value) >= 2**63:
            raise UserError(f"config.json: expected a smaller number for {key}, found {shorten(value, 40)}")
        if isinstance(value, str) and len(value) > 2**16:
            raise UserError(f"config.json: expected a short text for {key}, found {len(value):,} characters")
        return
    if type(value) is not int:
        raise UserError(f"config.json: expected a whole number for {key}, found {shorten(repr(value), 40)}")
    if not 0 <= value <= limit:
        raise UserError(
            f"config.json: expected at most {limit:,} for {key} by the weights beside it, found {shorten(value, 40)}"
        )


def check_model(model: Any, stored: Mapping[str, Stored]) -> None:
    """Check that a model is not much larger than the weights that are to fill it.

    Args:
        model: on the meta device.
        stored: the tensors of its weight files; empty where they are not known.

    Raises:
        UserError: it has more than twice as many parameters or buffers (plus 2^24) as there are stored numbers.
    """
    if not stored:
        return
    room = 2 * sum(tensor.size for tensor in stored.values()) + 2**24
    for name, tensors in (("parameters", model.parameters()), ("buffers", model.buffers())):
        needed = sum(tensor.numel() for tensor in tensors)
        if needed > room:
            raise UserError(
                f"config.json asks for a model of {needed:,} {name}, found {room // 2:,} or fewer in the weights beside"
                " it; is it the config.json of these weights?"
            )
