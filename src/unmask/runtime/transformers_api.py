"""All that unmask assumes of transformers: how its models are called, its caches, its files, its chat templates.

transformers renames arguments and moves classes in minor releases: 5.24 calls ``cache`` what was ``past_key_values``
before. So what a model can do is found by calling it (``models/call.py``), never read off a signature. No other file
imports transformers, but ``train/trainer.py``, which owns its Trainer.
"""

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

from unmask.errors import UserError, did_you_mean
from unmask.runtime.template_process import TemplateRefusedError, render

CACHE_ARGUMENTS = ("cache", "past_key_values")  # from 5.24 on, before
FAILURES = (TypeError, ValueError, RuntimeError, IndexError, AttributeError)  # what a foreign forward may raise


if TYPE_CHECKING:

    class StockModel(nn.Module):
        """A transformers model with an LM head, or PEFT's wrapper of one: what is called of it, for type checkers.

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
        """What is called of a transformers tokenizer, for type checkers; at run time the name means any object."""

        name_or_path: str
        chat_template: Any
        eos_token_id: int | None
        pad_token_id: int | None
        sep_token_id: int | None
        mask_token_id: int | None
        all_special_ids: Sequence[int]
        added_tokens_decoder: Mapping[int, Any]
        backend_tokenizer: Any

        decode: Callable[..., str]
        batch_decode: Callable[..., list[str]]
        convert_ids_to_tokens: Callable[..., Any]
        get_vocab: Callable[[], dict[str, int]]
        get_added_vocab: Callable[[], dict[str, int]]
        add_special_tokens: Callable[[dict[str, Any]], int]
        apply_chat_template: Callable[..., Any]
        save_pretrained: Callable[..., Any]

        def __len__(self) -> int: ...
        def __call__(self, text: Any, **options: Any) -> Any:
            """Return the ids of a text, under ``input_ids``."""
            ...

else:
    StockModel, Tokenizer = nn.Module, object


# Configurations and models


def knows(model_type: Any) -> bool:
    """Return whether transformers has classes for a ``model_type`` of its own."""
    return model_type in transformers.CONFIG_MAPPING


def new_config(model_type: str, fields: Mapping[str, Any]) -> Any:
    """Return the stock configuration of a known ``model_type`` with these fields."""
    return transformers.CONFIG_MAPPING[model_type](**fields)


def source_of(model_type: str) -> str:
    """Return the source of all that reads the configuration of a known ``model_type``."""
    config = transformers.CONFIG_MAPPING[model_type]
    modules = {config.__module__, transformers.PreTrainedConfig.__module__, "transformers.modeling_rope_utils"}
    for mapping in (transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_FOR_MASKED_LM_MAPPING):
        if config in mapping:
            modules.add(mapping[config].__module__)
    return "\n".join(inspect.getsource(importlib.import_module(name)) for name in sorted(modules))


def new_model(config: Any, *, masked: bool = False) -> StockModel:
    """Return a model with random weights: a masked language model or a causal one.

    Raises:
        ValueError, KeyError: transformers has no such model for the configuration.
    """
    return cast("StockModel", _auto_class(masked).from_config(config))


def read_model(
    folder: Path, config: Any, *, dtype: torch.dtype | None, masked: bool, pickled: bool
) -> tuple[StockModel, dict[str, Any]]:
    """Read the weights of a folder; code that lies in it is not run.

    Args:
        folder: with weights.
        config: of the model.
        dtype: of the weights; as they are stored if None.
        masked: whether it is a masked language model.
        pickled: whether the weights are ``.bin`` files.

    Returns:
        The model, and what did not match: ``mismatched_keys``, ``missing_keys``, ``unexpected_keys``.

    Raises:
        ValueError: transformers has no language model for the folder.
    """
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


def read_gguf(folder: Path, file: str, dtype: torch.dtype) -> tuple[StockModel, Tokenizer]:
    """Return the model of a gguf file, unpacked to ``dtype``, and its tokenizer.

    Raises:
        Exception: of any kind; transformers' readers of tensors and tokens raise bare ones.
    """
    options: dict[str, Any] = {"gguf_file": file, "dtype": dtype}
    try:
        from transformers import GgufConfig
    except ImportError:
        pass  # this transformers always unpacks
    else:  # left to itself it keeps weights packed where it finds a kernel, and packed weights cannot be trained
        options["quantization_config"] = GgufConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, **options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    return cast("StockModel", model), cast("Tokenizer", tokenizer)


def attention_kind(model: StockModel) -> str:
    """Return how a model computes attention: ``sdpa``, ``eager`` or another name of transformers'."""
    kind: str = model.config._attn_implementation
    return kind


def recompute_activations(stock: Any) -> None:
    """Switch a model to recomputing activations in the backward pass instead of keeping them."""
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
    """Return a transformers tokenizer around one of the tokenizers library."""
    return cast("Tokenizer", transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **special))


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a folder by the class that it names; code that lies in it is not run.

    Raises:
        ValueError, OSError: transformers has no such class, or the files are incomplete.
    """
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
    """Return the tokenizer of a folder, read by the stock class of this name."""
    found: Tokenizer = getattr(transformers, name).from_pretrained(folder, local_files_only=True)
    return found


def byte_letters() -> dict[str, int]:
    """Return the byte that each letter of byte-level tokenizers (GPT-2's) stands for."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {letter: byte for byte, letter in bytes_to_unicode().items()}


def render_chat(tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, opened: bool = False, **columns: Any) -> str:
    """Return a conversation as the text that the tokenizer's chat template makes of it.

    Args:
        tokenizer: with a chat template.
        messages: turns with ``role``, ``content`` and whatever else the template reads.
        opened: whether the opening of the next assistant turn is added.
        columns: further variables of the template, such as ``tools``.

    The template runs in a child process under limits; see ``unmask.runtime.template_process``.

    Raises:
        TemplateRefusedError: the template does not take these turns.
        TemplateStoppedError: the template took too much time or memory, or wrote too much.
    """
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
    """Have transformers prepare the variables of templates, and leave compiling and rendering to the child process."""
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
    """Stands for a compiled template."""

    source: str
    name: str

    def render(self, **values: Any) -> str:
        return render(self.source, values, name=self.name)


# Messages


def check_tracker(name: str) -> None:
    """Make the callback of an experiment tracker, as a run would when it starts.

    Args:
        name: such as ``tensorboard``; ``none`` and ``all`` are transformers' own.

    Raises:
        UserError: transformers knows no such tracker, or it cannot be made here.
    """
    if name in ("none", "all"):
        return
    from transformers.integrations import integration_utils as trackers

    known = trackers.INTEGRATION_TO_CALLBACK
    if name not in known:
        raise UserError(f"unknown tracker '{name}'; {did_you_mean(name, known)}")
    try:
        known[name]()
    except Exception as error:  # each tracker fails in its own way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"the tracker '{name}' cannot be used here ({reason}); install it, or leave it out") from error
