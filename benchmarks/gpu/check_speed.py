"""Time and memory of training steps and of decoding, for a model of 1.3 billion weights; nothing is demanded.

Each time stands beside that of the bare transformers model on the same columns, measured in the same run: compare
the ratios, not the milliseconds of two cards.
"""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from findings import Finding, Setting, told
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from unmask.core.batch import Batch, Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, decode
from unmask.models import LoadedModel, ScratchSpec, from_scratch
from unmask.objectives import BlockDiffusion, Blockwise, Lift, Vanilla

BLOCK = 32
OBJECTIVES = {
    "vanilla": Vanilla(),
    "blockwise": Blockwise(block_size=BLOCK),
    "block_diffusion": BlockDiffusion(block_size=BLOCK),
    "lift": Lift(approximate=True),
}


def large(setting: Setting, dtype: torch.dtype = torch.float32, **how: Any) -> LoadedModel:
    """A Llama with random weights and a vocabulary of a released model's size, on the device."""
    lm = from_scratch(ScratchSpec(), **how)
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 512}
    if setting.on_gpu:
        shape = {"hidden_size": 2048, "num_hidden_layers": 16, "intermediate_size": 5632, "vocab_size": 126_464}
    heads: dict[str, Any] = {"num_attention_heads": 16, "num_key_value_heads": 8, "max_position_embeddings": 4096}
    heads |= {"is_causal": False, "initializer_range": 0.05 if setting.on_gpu else 0.2}
    torch.manual_seed(0)
    with torch.device(setting.device):
        stock = LlamaForCausalLM(LlamaConfig(**shape, **heads, tie_word_embeddings=False)).to(dtype)
    return replace(lm, model=stock, facts=replace(lm.facts, vocab_size=shape["vocab_size"]))


def texts(lm: LoadedModel, setting: Setting, kind: str) -> Batch:
    """Random texts: ``equal`` lengths, ``short`` uneven ones each in its row, or the same ``packed``."""
    generator = torch.Generator().manual_seed(2)
    lengths = [(128, 384)] * 8
    if kind != "equal":  # the spread of short chats: most of them far shorter than the longest
        drawn = torch.rand(32, generator=generator) ** 3
        lengths = [(int(24 + 100 * r), BLOCK * int(2 + 10 * r)) for r in drawn.tolist()]
    if not setting.on_gpu:
        lengths = [(prompt // 8 + 1, BLOCK) for prompt, _ in lengths[:8]]
    examples = []
    for order, (prompt, canvas) in enumerate(lengths):
        ids = torch.randint(0, 16, (prompt + canvas,), generator=generator).tolist()
        examples.append(Example(prompt=ids[:prompt], answer=ids[prompt:], order=order, canvas=canvas))
    length = max(map(sum, lengths)) if kind == "packed" else None
    return lay_out(examples, block_size=BLOCK, filler_id=lm.filler_id, row_length=length).to(lm.device)


def measured(setting: Setting, step: Callable[[], Any]) -> tuple[float, float | None]:
    """Return the milliseconds of a step (the least of five, after two) and the peak of the GPU's memory in GiB."""
    gc.collect()
    if setting.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(7):
        started = time.perf_counter()
        step()
        if setting.on_gpu:
            torch.cuda.synchronize()
        times.append((time.perf_counter() - started) * 1000)
    return min(times[2:]), torch.cuda.max_memory_allocated() / 2**30 if setting.on_gpu else None


def speed(setting: Setting) -> Iterator[Finding]:
    """Training steps: forward, backward and AdamW, under bfloat16 autocast."""
    lm = large(setting)
    lm.model.train()
    optimizer = torch.optim.AdamW(lm.model.parameters(), lr=1e-5, fused=True)

    def step(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def one() -> None:
            with torch.autocast(setting.device, torch.bfloat16):
                value = loss()
            value.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return one

    def ours(objective: Any, batch: Batch) -> Callable[[], Tensor]:
        def loss() -> Tensor:
            noised = objective.noise(batch, model=lm, draws=Draws(seed=0), progress=0.5)
            scored = lm.score(noised.query, noised.query_positions, noised.targets, want=objective.want)
            return objective.loss(scored, noised) / noised.count

        return loss

    for kind in ("equal", "short", "packed"):
        batch = texts(lm, setting, kind)
        tokens = int((~batch.is_pad).sum())
        ids = batch.ids
        bare, peak = measured(setting, step(lambda ids=ids: lm.model(input_ids=ids, labels=ids, use_cache=False).loss))
        shown = {"ms": bare, "tokens_per_second": tokens / bare * 1000, "peak_gib": peak}
        yield told(f"{kind}, bare model", shown, f"a step on {list(ids.shape)}, {tokens} tokens of text")
        for name, objective in OBJECTIVES.items():
            if kind != "equal" and name == "block_diffusion":
                continue  # its two streams double the columns: measured once
            time_taken, peak = measured(setting, step(ours(objective, batch)))
            shown = {"ms": time_taken, "of_bare": time_taken / bare, "tokens_per_second": tokens / time_taken * 1000}
            yield told(f"{kind}, {name}", shown | {"peak_gib": peak}, f"a step, {tokens} tokens of text")
    lm.checkpoint_gradients()
    batch = texts(lm, setting, "equal")
    time_taken, peak = measured(setting, step(ours(OBJECTIVES["blockwise"], batch)))
    yield told("equal, blockwise, recomputed", {"ms": time_taken, "peak_gib": peak}, "gradient checkpointing")


@torch.no_grad()
def pace(setting: Setting) -> Iterator[Finding]:
    """Decode in bfloat16 at four tokens a step, with each cache; beside it the bare forward pass."""
    for cache, attention in (
        ("none", "bidirectional"),
        ("prefix", "bidirectional"),
        ("dual", "bidirectional"),
        ("dkv", "bidirectional"),
        ("block", "block_causal"),
    ):
        lm = large(setting, torch.bfloat16, attention=attention)
        batch = texts(lm, setting, "equal")
        steps = int(batch.is_canvas.sum()) // (4 * len(batch.ids))
        resolved = Decoder(block_size=BLOCK, selection="quota", steps=steps, stop="never", cache=cache).resolve()
        list(decode(lm, batch, resolved, draws=Draws(seed=7)))
        if setting.on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        steps = len(list(decode(lm, batch, resolved, draws=Draws(seed=7))))
        if setting.on_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        found = {"ms_per_step": seconds * 1000 / steps, "tokens_per_second": int(batch.is_canvas.sum()) / seconds}
        if setting.on_gpu:
            found["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        if cache == "none":
            bare, _ = measured(setting, partial(lm.model, input_ids=batch.ids, use_cache=False, logits_to_keep=1))
            yield told("bare forward", {"ms": bare}, f"{list(batch.ids.shape)} columns, one logit a row")
        yield told(f"{cache}, decoding", found, f"{len(batch.ids)} texts in {steps} steps")
