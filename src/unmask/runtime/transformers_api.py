"""All uses of transformers: its models, caches, files, tokenizers and chat templates.

transformers renames arguments and moves classes in minor releases: from 5.24 on, ``past_key_values`` is ``cache``. So
what a model can do is found by calling it (``models/call.py``), never read off a signature. No other file imports
transformers, but ``train/trainer.py``, which subclasses its Trainer, and ``trackers.py``.
"""

import functools
import importlib
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
import transformers
from torch import nn
from transformers.cache_utils import Cache as Cache
from transformers.cache_utils import CacheLayerMixin as CacheLayerMixin

from unmask.errors import UserError
from unmask.runtime.template_process import TemplateRefusedError, render

CACHE_ARGUMENTS = ("cache", "past_key_values")  # from 5.24 on, before
FAILURES = (TypeError, ValueError, RuntimeError, IndexError, AttributeError)  # that a model's forward may raise


if TYPE_CHECKING:

    class StockModel(nn.Module):
        """For type checkers: the attributes that are used of a transformers model with an LM head, or its PEFT wrapper.

        At run time the name means ``torch.nn.Module``, whose attributes are tensors or modules to type checkers.
        """

        config: Any
        dtype: torch.dtype
        name_or_path: str
        get_input_embeddings: Callable[[], nn.Embedding]
        get_output_embeddings: Callable[[], nn.Linear | None]
        resize_token_embeddings: Callable[..., nn.Embedding]
        save_pretrained: Callable[..., None]
        tie_weights: Callable[[], None]

    class Tokenizer(Protocol):
        """For type checkers: the attributes that are used of a transformers tokenizer; at run time, any object."""

        name_or_path: str
        chat_template: Any
        bos_token_id: int | None
        eos_token_id: int | None
        pad_token_id: int | None
        sep_token_id: int | None
        mask_token_id: int | None
        unk_token: str | None
        all_special_ids: Sequence[int]
        all_special_tokens: Sequence[str]
        added_tokens_decoder: Mapping[int, Any]
        backend_tokenizer: Any

        decode: Callable[..., str]
        batch_decode: Callable[..., list[str]]
        convert_ids_to_tokens: Callable[..., Any]
        convert_tokens_to_ids: Callable[[str], int]
        get_vocab: Callable[[], dict[str, int]]
        get_added_vocab: Callable[[], dict[str, int]]
        add_special_tokens: Callable[[dict[str, Any]], int]
        apply_chat_template: Callable[..., Any]
        save_pretrained: Callable[..., Any]

        def __hash__(self) -> int: ...
        def __len__(self) -> int: ...
        def __call__(self, text: Any, **options: Any) -> Any:
            """Return the token ids of a text, under ``input_ids``."""
            ...

else:
    StockModel, Tokenizer = nn.Module, object


# Configurations and models


def knows(model_type: object) -> bool:
    """Return whether transformers itself has classes for a ``model_type``."""
    return model_type in transformers.CONFIG_MAPPING


def new_config(model_type: str, fields: Mapping[str, Any]) -> Any:
    """Return transformers' configuration of a known ``model_type`` with these fields."""
    return transformers.CONFIG_MAPPING[model_type](**fields)


@functools.cache
def stock_fields(model_type: str) -> frozenset[str]:
    """Return the names of the fields that transformers' configuration of a known ``model_type`` has."""
    kind = transformers.CONFIG_MAPPING[model_type]
    renamed: Mapping[str, str] = getattr(kind, "attribute_map", {})
    # The last ones are read where they are set, and have no default.
    return frozenset({*kind().to_dict(), *renamed, "rope_theta", "rope_scaling", "partial_rotary_factor", "head_dim"})


def architectures_of(model_type: str) -> frozenset[str]:
    """Return the names of the model classes that transformers has for a known ``model_type``."""
    config = transformers.CONFIG_MAPPING[model_type]
    names = vars(transformers.models.auto.modeling_auto)
    tables = [table for name, table in names.items() if name.startswith("MODEL_") and name.endswith("_MAPPING_NAMES")]
    listed = {name for table in tables for name in _names_in(table.get(model_type))}
    mappings: list[Any] = [transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_FOR_MASKED_LM_MAPPING]
    return frozenset({*listed, *(mapping[config].__name__ for mapping in mappings if config in mapping)})


def _names_in(entry: object) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else tuple(entry) if isinstance(entry, (list, tuple)) else ()


def source_of(model_type: str) -> str:
    """Return the source code of all modules that read the configuration of a known ``model_type``."""
    config = transformers.CONFIG_MAPPING[model_type]
    modules = {config.__module__, transformers.PreTrainedConfig.__module__, "transformers.modeling_rope_utils"}
    for mapping in (transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_FOR_MASKED_LM_MAPPING):
        if config in mapping:
            modules.add(mapping[config].__module__)
    return "\n".join(inspect.getsource(importlib.import_module(name)) for name in sorted(modules))


def new_model(config: Any, *, masked: bool = False) -> StockModel:
    """Return a model with random weights.

    Args:
        config: of transformers.
        masked: whether it is a masked language model, else a causal one.

    Returns:
        The model on the current default device.

    Raises:
        ValueError: transformers has no such model for the configuration.
        KeyError: the same.
    """  # noqa: DOC502
    return cast("StockModel", _auto_class(masked).from_config(config))


def read_model(
    folder: Path, config: Any, *, dtype: torch.dtype | None, masked: bool, pickled: bool
) -> tuple[StockModel, dict[str, Any]]:
    """Return the model of a folder, on the CPU; no code of the folder is run.

    Args:
        folder: with weights.
        config: of the model.
        dtype: of the weights; as they are stored if None.
        masked: whether it is a masked language model.
        pickled: whether the weights are ``.bin`` files.

    Returns:
        The model, and the weights that did not match: ``mismatched_keys``, ``missing_keys``, ``unexpected_keys``.

    Raises:
        ValueError: transformers has no language model for the folder.
    """  # noqa: DOC502
    log = transformers.utils.logging
    verbosity = log.get_verbosity()
    log.set_verbosity_error()  # what does not match is reported to the caller
    try:
        model, report = _auto_class(masked).from_pretrained(
            folder,
            config=config,
            dtype=dtype or "auto",
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=not pickled,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        return model, report
    finally:
        log.set_verbosity(verbosity)


def read_gguf(folder: Path, file: str, dtype: torch.dtype, *, is_empty: bool = False) -> tuple[StockModel, Tokenizer]:
    """Return the model of a gguf file and its tokenizer.

    Errors can be of any kind: transformers' readers of tensors and tokens raise bare exceptions.

    Args:
        folder: that holds the file.
        file: its name.
        dtype: to which the weights are unpacked.
        is_empty: whether to read no weights: the model is on the meta device then.

    Returns:
        The model on the CPU, and the tokenizer.
    """
    options: dict[str, Any] = {"gguf_file": file, "dtype": dtype}
    tokenizer = cast("Tokenizer", transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file))
    if is_empty:
        with torch.device("meta"):
            return new_model(transformers.AutoConfig.from_pretrained(folder, **options)), tokenizer
    try:
        from transformers import GgufConfig
    except ImportError:
        pass  # this transformers always unpacks
    else:  # by default weights stay packed where there is a kernel, and packed weights cannot be trained
        options["quantization_config"] = GgufConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, **options)
    return cast("StockModel", model), tokenizer


def attention_kind(model: StockModel) -> str:
    """Return the name of a model's attention implementation in transformers, such as ``sdpa`` or ``eager``."""
    kind: str = model.config._attn_implementation
    return kind


def fit_experts(model: StockModel) -> None:
    """Compute the experts of a small mixture one by one: the grouped product needs rows of whole 16 bytes."""
    stacks = [weight for name, weight in model.named_parameters() if ".experts." in name and weight.ndim == 3]
    if any(size * weight.element_size() % 16 for weight in stacks for size in weight.shape[1:]):
        chosen: Any = model
        chosen.set_experts_implementation("eager")


def stays_float32(model: StockModel, name: str) -> bool:
    """Return whether transformers holds this weight in float32 whatever the model's dtype, as GLM-4-MoE's router."""
    kept = getattr(model, "_keep_in_fp32_modules_strict", None) or ()
    return any(f".{each}." in f".{name}." for each in kept)


def recompute_activations(stock: Any) -> None:
    """Switch a model to recomputing activations in the backward pass instead of storing them."""
    # The reentrant form needs an input with a gradient, which a frozen embedding gives by a hook only.
    options = {"use_reentrant": False}
    try:
        stock.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    except AttributeError:  # before 5.24
        stock.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def _auto_class(masked: bool) -> Any:
    return transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM


# Tokenizers


def new_tokenizer(backend: Any, **special: Any) -> Tokenizer:
    """Return a transformers tokenizer around one of the tokenizers library, with the ``special`` tokens by name."""
    return cast("Tokenizer", transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **special))


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a folder, read by the class that it names; no code of the folder is run.

    Args:
        folder: with the files of a tokenizer.

    Returns:
        The tokenizer.

    Raises:
        ValueError: transformers has no such class.
        OSError: the files are incomplete.
    """  # noqa: DOC502
    # Left to itself it would build all of config.json, maybe with a table of 10^9 labels, to learn the model's type.
    kind = _type_of_model(folder)
    config = transformers.AutoConfig.for_model(kind) if knows(kind) else transformers.PreTrainedConfig()
    found = transformers.AutoTokenizer.from_pretrained(
        folder, config=config, trust_remote_code=False, local_files_only=True
    )
    return cast("Tokenizer", found)


def _type_of_model(folder: Path) -> Any:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found.get("model_type") if isinstance(found, dict) else None


def read_tokenizer_file(folder: Path) -> Tokenizer:
    """Return the tokenizer that ``tokenizer.json`` holds, whatever class the folder names."""
    return cast("Tokenizer", transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True))


def read_tokenizer_as(name: str, folder: Path) -> Tokenizer:
    """Return the tokenizer of a folder, read by the transformers class called ``name``."""
    found: Tokenizer = getattr(transformers, name).from_pretrained(folder, local_files_only=True)
    return found


def byte_letters() -> dict[str, int]:
    """Return, for each letter in the vocabulary of byte-level tokenizers (GPT-2's), the byte that it stands for."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {letter: byte for byte, letter in bytes_to_unicode().items()}


def render_chat(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], *, opened: bool = False, **columns: Any
) -> str:
    """Return the text that the tokenizer's chat template renders for a conversation.

    The template runs in a child process under limits of time, memory and length.

    Args:
        tokenizer: with a chat template.
        messages: turns with ``role``, ``content`` and any other keys that the template reads.
        opened: whether the opening of the next assistant turn is added.
        **columns: further variables of the template, such as ``tools``.

    Returns:
        The text.

    Raises:
        TemplateRefusedError: the template does not take these turns.
        TemplateStoppedError: the template exceeds a limit.
    """  # noqa: DOC503
    turns = [dict(message) for message in messages]
    name = str(getattr(tokenizer, "name_or_path", "") or "")
    try:
        with _elsewhere(name):
            text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=opened, **columns)
    except UserError:
        raise
    except Exception as error:
        raise TemplateRefusedError(f"{type(error).__name__}: {error}", name) from error
    return text


_SWAPPING = threading.Lock()


@contextmanager
def _elsewhere(name: str) -> Iterator[None]:
    """Inside the context, transformers prepares the variables of templates, and the child process renders them."""
    module: Any = transformers.utils.chat_template_utils
    with _SWAPPING:
        compile_here = module._compile_jinja_template
        module._compile_jinja_template = lambda source: _Elsewhere(source, name)
        try:
            yield
        finally:
            module._compile_jinja_template = compile_here


@dataclass(frozen=True)
class _Elsewhere:
    """A template in place of a compiled one; rendered in the child process."""

    source: str
    name: str

    def render(self, **values: Any) -> str:
        return render(self.source, values, name=self.name)


# Messages
