"""Draws, logits and mask forms."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from findings import Finding, Setting, none_differs, told, within
from safetensors.torch import load_file
from small import apart, mixtures, questions, released, scratch, twin

from unmask.core.random import Draws
from unmask.models import LoadedModel
from unmask.models.export import export

FLOAT32, BFLOAT16 = 10, 3  # times what the CPU itself is off
LEAST32, LEAST16 = 1e-7, 2.0**-9  # half a unit in the last place of either, for a CPU that is right by luck
BECAUSE32 = "10 times how far float32 on the CPU is from float64; TF32 would be some 1000 times as far"
BECAUSE16 = "3 times how far bfloat16 on the CPU is from float64"


def draws(setting: Setting) -> Iterator[Finding]:
    """Random numbers are hashes of whole numbers: not a bit may differ."""
    order, offset = torch.arange(4000)[:, None], torch.arange(7)[None]
    far = order.to(setting.device), offset.to(setting.device)
    source = Draws(seed=5)
    for name in ("uniform", "stratified"):
        here, there = (getattr(source, name)("check", *keys) for keys in ((order, offset), far))
        yield none_differs(name, int((here != there.cpu()).sum()), "the same hash of whole numbers on every device")


def models(setting: Setting) -> Iterator[tuple[str, LoadedModel]]:
    """Stock classes, both ways of attending, with and without shifted logits, and released layouts."""
    for architecture in ("llama", "qwen2", "qwen3"):
        yield f"{architecture} bidirectional", scratch(setting, architecture)
    yield "llama shifted", scratch(setting, shift=True)
    yield "qwen3 block-causal", scratch(setting, "qwen3", attention="block_causal", block_size=4)
    yield from released(setting)


@torch.no_grad()
def logits(setting: Setting) -> Iterator[Finding]:
    """The device against the CPU, both judged by float64."""
    for name, lm in models(setting):
        exact, here, here16 = (twin(lm, "cpu", dtype) for dtype in (torch.float64, torch.float32, torch.bfloat16))
        there, there16 = (twin(lm, setting.device, dtype) for dtype in (torch.float32, torch.bfloat16))
        for (layout, *queried), (_, *far) in zip(questions(lm, setting), questions(there, setting), strict=True):
            wanted = exact.logits(*queried)
            own, own16 = apart(here.logits(*queried), wanted), apart(here16.logits(*queried), wanted)
            found, found16 = apart(there.logits(*far), wanted), apart(there16.logits(*far), wanted)
            title = f"{name}, {layout}"
            yield within(f"{title}, float32", found, FLOAT32 * max(own, LEAST32), BECAUSE32)
            yield within(f"{title}, bfloat16", found16, BFLOAT16 * max(own16, LEAST16), BECAUSE16)
            if setting.on_gpu and name == "llama bidirectional":
                torch.backends.cuda.matmul.allow_tf32 = True
                yield told(f"{title}, TF32 allowed", apart(there.logits(*far), wanted), "relative to float64")
                torch.backends.cuda.matmul.allow_tf32 = False


@torch.no_grad()
def experts(setting: Setting) -> Iterator[Finding]:
    """Mixtures of experts: logits against the CPU, both judged by float64; exported from the device bit for bit."""
    for name, lm in mixtures(setting):
        exact, there = twin(lm, "cpu", torch.float64), twin(lm, setting.device)
        for (layout, *queried), (_, *far) in zip(questions(lm, setting), questions(there, setting), strict=True):
            wanted = exact.logits(*queried)
            bound = FLOAT32 * max(apart(lm.logits(*queried), wanted), LEAST32)
            yield within(f"{name}, {layout}, float32", apart(there.logits(*far), wanted), bound, BECAUSE32)
        folder = export(there, setting.folder / f"{name}-exported", to=name).folder
        first, second = (load_file(each / "model.safetensors") for each in (setting.folder / name, folder))
        differing = sum(not torch.equal(tensor, second[key]) for key, tensor in first.items())
        yield none_differs(f"{name}, exported", differing, "a model that was not trained comes back bit for bit")


@torch.no_grad()
def masks(setting: Setting) -> Iterator[Finding]:
    """No mask, a 2-D one, a 4-D boolean one and eager's additive one mean the same."""
    for architecture in ("llama", "qwen3"):
        lm = scratch(setting, architecture)
        exact = twin(lm, "cpu", torch.float64)
        native = twin(lm, setting.device)
        boolean = replace(native, facts=replace(lm.facts, native_bidirectional=False))
        additive = twin(boolean, setting.device)
        additive.stock.set_attn_implementation("eager")
        for (layout, query, at), (_, *queried) in zip(questions(native, setting), questions(lm, setting), strict=True):
            wanted = exact.logits(*queried)
            bound = FLOAT32 * max(apart(lm.logits(*queried), wanted), LEAST32)
            models = {"4-D boolean": boolean, "eager additive": additive}
            own = {"unpadded": "no mask", "padded": "2-D"}.get(layout)  # the others have no cheaper form
            for form, model in ({own: native} | models if own else models).items():
                yield within(
                    f"{architecture}, {layout}, {form}", apart(model.logits(query, at), wanted), bound, BECAUSE32
                )
