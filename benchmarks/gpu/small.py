"""The models and the texts of the checks."""

import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from findings import Setting
from torch import Tensor

from unmask.core.batch import Batch, Example, lay_out
from unmask.core.protocols import Query
from unmask.core.random import Draws
from unmask.models import LoadedModel, ScratchSpec, from_scratch, load
from unmask.objectives import BlockDiffusion

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path += [str(TESTS / "unit/models"), str(TESTS / "contracts")]
from small_checkpoints import llada_folder, plain_tokenizer, random_model  # noqa: E402  # folders as released

BLOCK = 4
QWEN = {
    "vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 128, "initializer_range": 0.2, "tie_word_embeddings": False,
}  # fmt: skip


def scratch(setting: Setting, architecture: str = "llama", **how: Any) -> LoadedModel:
    """A stock model with random weights, wide enough to have something to round; on the CPU, in float32."""
    shape = {"hidden_size": 32, "layers": 2} if setting.small else {"hidden_size": 256, "layers": 4}
    spec = ScratchSpec(architecture=architecture, heads=4, kv_heads=2, init_std=0.1, seed=3, tie=False, **shape)
    return from_scratch(spec, **how)


def released(setting: Setting) -> Iterator[tuple[str, LoadedModel]]:
    """Small checkpoints under the names and in the configuration of released ones, loaded as such."""
    from transformers import Qwen2Config, Qwen3Config

    folder = setting.folder / "llada"
    if not folder.exists():
        llada_folder(folder, max_sequence_length=128)
    yield "llada", load(folder, device="cpu")
    for kind, stock in (("Dream", Qwen2Config), ("sdar", Qwen3Config)):
        folder = setting.folder / kind
        if not folder.exists():
            _qwen_folder(folder, kind, stock)
        yield kind.lower(), load(folder, device="cpu")


def mixtures(setting: Setting) -> Iterator[tuple[str, LoadedModel]]:
    """Small mixtures of experts under released names."""
    from safetensors.torch import save_file
    from test_families import TINY

    for name in ("llada_moe", "sdar_moe", "llada2"):
        folder = setting.folder / name
        config, weights = TINY[name]()
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": "float32"}))
        save_file({key: tensor.contiguous() for key, tensor in weights.items()}, folder / "model.safetensors")
        plain_tokenizer("x1", "x2", "<|mask|>", "x3", "x4", "x5").save_pretrained(folder)
        yield name, load(folder, device="cpu")


def _qwen_folder(folder: Path, kind: str, stock: Any) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    weights = {name: weight.clone() for name, weight in random_model(stock(**QWEN)).state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    ends = {"mask_token_id": 20, "eos_token_id": 17, "pad_token_id": 17}
    (folder / "config.json").write_text(json.dumps({**QWEN, **ends, "model_type": kind, "torch_dtype": "float32"}))
    plain_tokenizer("x1", "x2", "<|mask|>").save_pretrained(folder)


def twin(lm: LoadedModel, device: str, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """A copy on another device and in another dtype; buffers (rotary frequencies) keep theirs, as on loading."""
    stock = copy.deepcopy(lm.model).to(device)
    for weight in stock.parameters():
        weight.data = weight.data.to(dtype)
    if dtype == torch.float64 and any(".experts." in name for name, _ in stock.named_parameters()):
        stock.set_experts_implementation("eager")  # the grouped product knows no float64
    return replace(lm, model=stock)


def rows(lm: LoadedModel, setting: Setting, *, packed: bool = False, answers: bool = True) -> Batch:
    """Random texts of uneven lengths: padded, or packed into as few rows as they need; on the model's device."""
    generator = torch.Generator().manual_seed(1)
    lengths = [(5, 8), (9, 7), (3, 10), (11, 4)] if setting.small else [(20, 24), (9, 13), (33, 32), (51, 12)]
    examples = []
    for order, (prompt, canvas) in enumerate(lengths):
        text = torch.randint(0, min(lm.mask_id, *lm.eos_ids), (prompt + canvas,), generator=generator).tolist()
        answer = [*text[prompt:-1], lm.eos_ids[0]] if answers else []
        examples.append(Example(prompt=text[:prompt], answer=answer, order=order, canvas=canvas))
    length = max(map(sum, lengths)) + 8 if packed else None
    return lay_out(examples, block_size=BLOCK, filler_id=lm.filler_id, row_length=length).to(lm.device)


def questions(lm: LoadedModel, setting: Setting) -> Iterator[tuple[str, Query, Tensor]]:
    """What is read in each layout: every third token hidden, and those asked."""
    padded = rows(lm, setting)
    whole = padded.rows((~padded.is_pad).all(1).nonzero().squeeze(1))
    layouts = {"unpadded": whole, "padded": padded, "packed": rows(lm, setting, packed=True)}
    for layout, batch in layouts.items():
        is_masked = batch.is_canvas & (batch.offset % 3 == 0)
        if lm.shift:
            is_masked &= batch.position > 0
        yield layout, batch.query(torch.where(is_masked, lm.mask_id, batch.ids), lm.rule), is_masked.nonzero()
    noised = BlockDiffusion(block_size=BLOCK).noise(padded, model=lm, draws=Draws(seed=0), progress=0.5)
    yield "two streams", noised.query, noised.query_positions


def apart(found: Tensor, wanted: Tensor) -> float:
    """The norm of the difference over the norm of what is wanted, in float64."""
    found, wanted = found.detach().cpu().double(), wanted.detach().cpu().double()
    return float((found - wanted).norm() / wanted.norm())
