"""The model and the rows that the training benchmarks share: SmolLM2-135M's shape with random weights."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from unmask.core.batch import Batch, Example, lay_out
from unmask.core.protocols import Objective
from unmask.core.random import Draws
from unmask.models import LoadedModel
from unmask.models.facts import Facts

VOCABULARY, MASK, END = 49_152, 49_151, 0


def model(*, layers: int = 30, attention: str = "bidirectional") -> LoadedModel:
    """Hidden 576, 30 layers, 9 heads (3 for keys), vocabulary 49,152, tied, float32."""
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=576, intermediate_size=1536, num_hidden_layers=layers,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=4096, tie_word_embeddings=True,
        pad_token_id=None, is_causal=False,
    )  # fmt: skip
    facts = Facts(mask_id=MASK, eos_ids=(END,), filler_id=END, vocab_size=VOCABULARY, attention=attention)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        stock = LlamaForCausalLM(config)
    return LoadedModel(model=stock.train(), tokenizer=None, facts=facts)


def rows(count: int = 2, *, length: int = 512, prompt: float = 0.75, block_size: int = 32, first: int = 0) -> Batch:
    """Rows of random tokens, a share of which is prompt."""
    generator = torch.Generator().manual_seed(first)
    start = int(length * prompt)
    examples = []
    for i in range(count):
        text = torch.randint(1, MASK, (length,), generator=generator).tolist()
        examples.append(
            Example(prompt=text[:start], answer=[*text[start:-1], END], order=first + i, canvas=length - start)
        )
    return lay_out(examples, block_size=block_size, filler_id=END)


def step(lm: LoadedModel, objective: Objective, batch: Batch, draws: Draws) -> float:
    """One training step without the optimiser; returns the supervised tokens."""
    noised = objective.noise(batch, model=lm, draws=draws, progress=0.5)
    scored = lm.score(noised.query, noised.query_positions, noised.targets, want=objective.want)
    (objective.loss(scored, noised) / noised.count).backward()
    lm.model.zero_grad(set_to_none=False)
    return float((noised.weight > 0).sum())


def stepper(objective: Objective, *, attention: str = "bidirectional", **layout: float) -> "Stepper":
    """A step on rows that differ from call to call, as a benchmark's variant."""
    return Stepper(model(attention=attention), objective, layout)


class Stepper:
    """Calls ``step`` on the next rows. Noise levels are stratified over the calls, alike for every variant."""

    def __init__(self, lm: LoadedModel, objective: Objective, layout: dict[str, float]) -> None:
        self.lm, self.objective, self.layout, self.calls = lm, objective, layout, 0

    def __call__(self) -> float:
        """Take a step."""
        self.calls += 1
        count = int(self.layout.get("count", 2))
        return step(self.lm, self.objective, rows(**{**self.layout, "first": self.calls * count}), Draws(seed=0))
