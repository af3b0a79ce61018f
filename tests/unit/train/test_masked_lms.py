"""BERT and ModernBERT as diffusion models: tuned toys answer, stop, and are the same after saving."""

import json

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForMaskedLM, BertConfig, ModernBertConfig, PreTrainedTokenizerFast

from unmask.config.defaults import Layout
from unmask.data import Record, encode
from unmask.generate import generate
from unmask.models import load
from unmask.train import train
from unmask.train.config import TrainRun

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ["abcd"[:n] for n in range(1, 5)]  # a letter asks for the alphabet up to itself
ASKED = [word[-1] + ":" for word in WORDS]
SIZE, LONGEST = 4, 8  # columns of a block, and of the longest answer with its end
SHAPE = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128,
    "max_position_embeddings": 64, "initializer_range": 0.1,
}  # fmt: skip
DROPOUTS = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
METHODS = {"vanilla": {"name": "vanilla"}, "blockwise": {"name": "blockwise", "block_size": SIZE}}


def bert_tokenizer():
    """One token a letter; [CLS] and [SEP] around each text, as BERT's tokenizers write them."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *"abcdefgh:"])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", clean_up_tokenization_spaces=False,
    )  # fmt: skip


def released(kind, folder):
    """A random model in the layout in which transformers saves such models: no facts of unmask."""
    tokenizer = bert_tokenizer()
    if kind == "bert":
        config = BertConfig(vocab_size=len(tokenizer), **SHAPE, **DROPOUTS, pad_token_id=0)
    else:
        ends = {"pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
        config = ModernBertConfig(vocab_size=len(tokenizer), **SHAPE, **ends, local_attention=8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_the_facts_are_those_of_a_masked_model(kind, tmp_path):
    lm = load(released(kind, tmp_path), device="cpu")
    facts = lm.facts
    assert (facts.shift, facts.attention, facts.mask_id, facts.eos_ids[0]) == (False, "bidirectional", 4, 3)
    assert (facts.added_rows, facts.family, lm.exact_cache) == (0, None, "none")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_a_tuned_toy_answers_and_stops_before_and_after_saving(kind, method, tmp_path):
    lm = load(released(kind, tmp_path / "base"), device="cpu")
    records = [Record(prompt=ask, completion=word) for ask, word in zip(ASKED, WORDS, strict=True)]
    data = encode(records * 8, lm.tokenizer, max_length=None, chat=False)
    run = TrainRun(objective=METHODS[method], steps=200, lr=3e-3, batch_size=8, save_every=200)
    result = train(lm, data, run, out=tmp_path / "run", layout=Layout(max_length=64), show=False)
    for model in (lm, load(result.model, device="cpu")):
        for canvas in (LONGEST, 12):
            found = generate(model, ASKED, max_new_tokens=canvas, block_size=SIZE, chat=False)
            assert found.texts == WORDS
            assert all(int(answer[-1]) == 3 for answer in found.answers)
    assert json.loads((result.model / "config.json").read_text())["unmask"]["mask_id"] == 4
