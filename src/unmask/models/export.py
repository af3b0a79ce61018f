"""Writes a model as engines read it: released names, dtypes and files, by the inverse of the loading rules."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unmask.core.attention import Columns
from unmask.core.query import Query
from unmask.errors import UserError, did_you_mean, shorten
from unmask.models.card import export_card
from unmask.models.checkpoints import ADAPTER_CONFIG, locate, parse_dtype, read_json, weight_files
from unmask.models.config_file import read_config_file
from unmask.models.engines import commands, obstacles, serving
from unmask.models.export_weights import INDEX, WeightLayout, plan_weights
from unmask.models.families import FAMILIES, Family
from unmask.models.families.base import DTYPES, family_fields
from unmask.models.families.match import find_family
from unmask.models.gguf_write import family_for, write_gguf
from unmask.models.load import load
from unmask.models.loaded import LoadedModel
from unmask.models.lora import merge
from unmask.models.save import save
from unmask.models.weights import Stored, read_headers

LOG = logging.getLogger(__name__)
PLAIN, GGUF = "transformers", "gguf"
_NOT_COPIED = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".index.json")
_MOST = 256 * 2**20  # bytes of a file that is copied


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Args:
        folder: where.
        target: name of the layout.
        source: checkpoint whose files were copied; None if there was none.
        copied: names of its files.
        missing: files that engines need beside, and where they are found; empty if none.
        commands: title of an engine -> the line that serves the folder.
    """

    folder: Path
    target: str
    source: str | None
    copied: tuple[str, ...]
    missing: str
    commands: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """The released checkpoint whose files are copied."""

    name: str
    folder: Path
    config: dict[str, Any]
    headers: dict[str, dict[str, Stored]]  # of each weight file


def targets() -> list[str]:
    """Return the names of the layouts that can be written."""
    return [*(name for name in FAMILIES if FAMILIES[name].restore), GGUF, PLAIN]


def open_for_export(path: str | Path, **options: Any) -> LoadedModel:
    """Load a model without rounding its weights: as they are stored, in float32 where that differs or adapters merge.

    Args:
        path: a folder, an adapter, a gguf file or a hub name.
        **options: of ``load``.

    Returns:
        The model; adapters are merged into it, and the result was compared with the model before.

    Raises:
        UserError: it cannot be loaded, or merging changes its answers.
    """  # noqa: DOC502
    where = locate(path)
    dtype: torch.dtype | None = torch.float32
    if where.kind == "folder":
        kinds = {one.dtype for one in read_headers(weight_files(where.folder, allow_pickle=False)).values()}
        dtype = DTYPES.get(next(iter(kinds)), torch.float32) if len(kinds) == 1 else torch.float32
    lm = load(path, dtype=dtype, **options)
    return lm if lm.adapter is None else merged(lm)


@torch.no_grad()
def merged(lm: LoadedModel) -> LoadedModel:
    """Return a model with its adapters merged, after its logits were compared with those of the model before.

    Args:
        lm: a model with adapters.

    Returns:
        The plain model.

    Raises:
        UserError: the largest difference of a logit is above 1e-5 of the largest logit (in float32).
    """
    before = _logits(lm)
    plain = merge(lm)
    off = float((_logits(plain) - before).abs().max() / before.abs().max().clamp(min=1.0))
    limit = 1e-5 if next(plain.model.parameters()).dtype == torch.float32 else 3e-2
    if off > limit:
        raise UserError(f"merging changed a logit by {off:.1e} of the largest, expected at most {limit:.0e}")
    return plain


def export(
    lm: LoadedModel,
    out: str | Path,
    *,
    to: str,
    like: str | Path | None = None,
    engine: str | None = None,
    dtype: torch.dtype | str | None = None,
) -> Exported:
    """Write a model in the layout of a family, so that engines decode it as it was trained.

    Args:
        lm: without adapters; see ``open_for_export``.
        out: a new or empty folder; for ``gguf`` a new file.
        to: name of a family; ``gguf`` for a file that llama.cpp reads; ``transformers`` for a plain folder of the stock
            class.
        like: released checkpoint whose other files are copied; default: the one that the model remembers.
        engine: check for this engine only; None for all that serve the family.
        dtype: of the weights; default: those of the source, else of the model.

    Returns:
        What was written.

    Raises:
        UserError: there is no such layout, the model does not fit it, or an engine would decode it otherwise; names the
            setting to train with.
    """
    folder = Path(out)
    if folder.is_file() or (folder.exists() and any(folder.iterdir())):
        raise UserError(f"{folder}: expected a new or empty folder, found something there; choose another")
    if to not in targets():
        raise UserError(f"cannot write a model as '{to}'; {did_you_mean(to, targets())}")
    _check_options(to, like=like, engine=engine, dtype=dtype)
    if to == PLAIN:
        return _for_transformers(lm, folder)
    if to == GGUF:
        return _for_llama_cpp(lm, folder, dtype)
    family = FAMILIES[to]
    remembered = lm.facts.source if lm.facts.family == family.name else None
    source = _source(family, like or remembered, is_chosen=like is not None)
    _check_class(lm, family, source)
    _check_fit(lm, family, source, engine)
    config = _config(lm, family, source)
    layout = plan_weights(lm, family, {} if source is None else source.headers, parse_dtype(dtype))
    staging = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    layout.write(staging, lm.stock.state_dict())
    copied = _write_files(staging, lm, source, config)
    if source is not None and dtype is None and _has_same_files(source, layout):
        shutil.copyfile(source.folder / INDEX, staging / INDEX)
    lines = commands(family.name, lm.facts, engine, has_dense_layers=_has_dense_layers(lm))
    missing = _missing_code(family, engine, staging)
    text = export_card(lm.facts, title=family.title, name=folder.resolve().name, commands=lines, missing=missing)
    (staging / "README.md").write_text(text, encoding="utf-8")
    layout.check(_check_facts(staging, lm, family).stock.state_dict(), lm.stock.state_dict())
    if folder.exists():
        folder.rmdir()
    staging.rename(folder)
    shown = None if source is None else source.name
    return Exported(folder=folder, target=to, source=shown, copied=copied, missing=missing, commands=lines)


def _check_options(to: str, *, like: object, engine: str | None, dtype: object) -> None:
    """Check that nothing is asked of a layout that it would leave out."""
    if to == GGUF and engine not in (None, "llama.cpp"):
        raise UserError(f"llama.cpp is the engine that reads gguf files, found engine '{engine}'; leave it out")
    given = {"like": like, "engine": engine, "dtype": dtype}
    left_out = {PLAIN: ("like", "engine", "dtype"), GGUF: ("like",)}.get(to, ())
    if wrong := [name for name in left_out if given[name] is not None]:
        raise UserError(f"an export to {to} has no use for {' and '.join(wrong)}; leave it out")


def _for_transformers(lm: LoadedModel, folder: Path) -> Exported:
    save(lm, folder, tokenizer=lm.tokenizer, adapter=None, generation=lm.generation, is_guarded=False)
    return Exported(folder=folder, target=PLAIN, source=None, copied=(), missing="", commands={})


def _for_llama_cpp(lm: LoadedModel, file: Path, dtype: torch.dtype | str | None) -> Exported:
    if file.suffix != ".gguf":
        raise UserError(f"expected the name of a new .gguf file, found '{file}'")
    family, kind = family_for(lm), str(dtype or "f16").removeprefix("torch.")
    write_gguf(lm, file, family=family, dtype=kind)
    lines = commands(family, lm.facts, "llama.cpp", is_gguf=True)
    return Exported(folder=file, target=GGUF, source=None, copied=(), missing="", commands=lines)


def _source(family: Family, path: str | Path | None, *, is_chosen: bool) -> _Source | None:
    """Return the checkpoint whose files are copied; None where the remembered one is gone or of another family."""
    if path is None:
        return None
    try:
        where = locate(path)
        if where.kind != "folder":
            raise UserError(f"expected a model folder as source, found {where.kind} '{shorten(path, 120)}'")
        config = read_config_file(where.folder)
        found = find_family(config)
        if found is None or found.name != family.name:
            shown = "a plain transformers model" if found is None else f"one of {found.title}"
            raise UserError(f"expected a source of the family {family.title}, found {shown} in '{shorten(path, 120)}'")
        files = weight_files(where.folder, allow_pickle=False)
        headers = {file.name: read_headers([file]) for file in files}
    except UserError as error:
        if is_chosen:
            raise
        LOG.warning("no files are copied from the remembered source: %s", error)
        return None
    return _Source(
        name=str(path),
        folder=where.folder,
        config=config,
        headers=headers,
    )


def _check_class(lm: LoadedModel, family: Family, source: _Source | None) -> None:
    """Check that the stock class of the model is the one that the family, or its source, is computed by."""
    if source is None:
        restored(family, lm.stock.config)
        return
    stock_type, _ = family_fields(family, source.config)
    if stock_type != lm.stock.config.model_type:
        raise UserError(f"'{source.name}' is computed by {stock_type}, the model by {lm.stock.config.model_type}")


def _check_fit(lm: LoadedModel, family: Family, source: _Source | None, engine: str | None) -> None:
    """Check that the family's stock class is the model's, and that engines decode it as it was trained."""
    mask_id = None if source is None else source.config.get("mask_token_id")
    faults = obstacles(
        lm.facts,
        family,
        engine=engine,
        heads=list(lm.heads),
        mask_id=mask_id,
        block_size=None if source is None else family.trained_block_size(source.config),
        has_dense_layers=_has_dense_layers(lm),
    )
    if faults:
        raise UserError(f"this model cannot be served as {family.title}: {'; '.join(faults)}")
    if not serving(family.name, engine):
        LOG.warning("no engine that was read serves %s models", family.title)


def _config(lm: LoadedModel, family: Family, source: _Source | None) -> dict[str, Any]:
    """Return the content of ``config.json``: the source's, or that of the family for this model."""
    if source is not None:
        config = read_json(source.folder / "config.json")
        size = lm.facts.block_size
        if family.block_size is not None and size != family.trained_block_size(config):
            LOG.warning("config.json: %s is now %s, as the model was trained", family.block_size_key, size)
            config[family.block_size_key] = size
        return config
    config = restored(family, lm.stock.config)
    config |= {
        "model_type": family.model_types[0],
        "architectures": [family.architectures[0]],
        "mask_token_id": lm.mask_id,
        "eos_token_id": list(lm.eos_ids) if len(lm.eos_ids) > 1 else lm.eos_ids[0],
        "pad_token_id": lm.filler_id,
        "torch_dtype": str(lm.stock.dtype).removeprefix("torch."),
    }
    if family.block_size is not None:
        config[family.block_size_key] = lm.facts.block_size
    return config


def _has_dense_layers(lm: LoadedModel) -> bool:
    return bool(getattr(lm.stock.config, "mlp_only_layers", None))


def restored(family: Family, stock: Any) -> dict[str, Any]:
    """Return the fields of a family's ``config.json`` for a stock configuration.

    Args:
        family: whose fields.
        stock: transformers' configuration of the model.

    Returns:
        The fields, which the family's ``convert`` turns into these.

    Raises:
        UserError: the family is computed by another class, or one of its models cannot have this shape.
    """
    title = family.title
    if family.restore is None:
        raise UserError(f"{title} models are written beside their source's files only; write like=…")
    try:
        fields = family.restore(stock.to_dict())
        model_type, _ = family_fields(family, fields)
    except KeyError:
        model_type = ""
    if model_type != stock.model_type:
        raise UserError(
            f"{title} models are computed by another class than this {stock.model_type} model; train a {title} model"
        )
    return fields


def _write_files(folder: Path, lm: LoadedModel, source: _Source | None, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Copy what is not a weight from the source, byte for byte, or write it; return the names that were copied."""
    copied = []
    for file in sorted(source.folder.iterdir()) if source is not None else ():
        if not file.is_file() or file.name.startswith(".") or file.name.endswith(_NOT_COPIED):
            continue
        if file.name in ("README.md", ADAPTER_CONFIG) or file.stat().st_size > _MOST:
            continue
        shutil.copyfile(file, folder / file.name)
        copied.append(file.name)
    written = folder / "config.json"
    if source is None or read_json(written) != config:
        text = json.dumps(dict(config), indent=2, ensure_ascii=False) + "\n"
        written.write_text(text, encoding="utf-8")
    if source is None:
        if lm.tokenizer is not None:
            lm.tokenizer.save_pretrained(folder)
        generation = {"eos_token_id": list(lm.eos_ids), "pad_token_id": lm.filler_id, **lm.generation}
        text = json.dumps(generation, indent=2, ensure_ascii=False) + "\n"
        (folder / "generation_config.json").write_text(text, encoding="utf-8")
    return tuple(copied)


def _has_same_files(source: _Source, layout: WeightLayout) -> bool:
    """Return whether the source's index tells the files of all tensors as they were written."""
    return read_json(source.folder / INDEX).get("weight_map") == dict(layout.files)


def _missing_code(family: Family, engine: str | None, folder: Path) -> str:
    """Return which of the authors' files an engine needs that are not in the folder; empty if none."""
    needy = [name for name, one in serving(family.name, engine).items() if one.needs_code]
    if not needy or any(folder.glob("configuration*.py")):
        return ""
    return (
        f"{', '.join(needy)}: the authors' configuration_*.py and modeling_*.py, which auto_map of config.json names, "
        f"from a released {family.title} repository; write --like with such a folder"
    )


def _check_facts(folder: Path, lm: LoadedModel, family: Family) -> LoadedModel:
    """Return the model that a folder holds, after its facts were compared with those of the model that was written."""
    again = load(folder)
    kept = ("mask_id", "shift", "attention", "block_size", "grid", "vocab_size")
    found, wanted = ({name: getattr(each.facts, name) for name in kept} for each in (again, lm))
    if family.block_size is None:
        found["block_size"] = wanted["block_size"]
    if found != wanted:
        raise RuntimeError(f"the exported folder has the facts {found}, expected {wanted}")
    return again


def _logits(lm: LoadedModel) -> Tensor:
    """Return the logits of a few tokens, in float32."""
    ids = torch.arange(8, device=lm.device)[None] % lm.vocab_size
    position = torch.arange(8, device=lm.device)[None]
    zero = torch.zeros_like(position)
    columns = Columns(position=position, segment=zero, block=zero, stream=zero)
    at = torch.stack([zero[0], position[0]], dim=1)
    return lm.logits(Query(ids=ids, columns=columns, rule=lm.rule), at).float()
