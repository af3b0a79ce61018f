"""Small checkpoints that tests write themselves."""

import json

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from unmask.core.batch import Example, lay_out

LETTERS = "0123456789abcdef"
CHAT = "{% for m in messages %}{{ '<|user|>' if m.role == 'user' else '<|bot|>' }}{{ m.content }}{{ END }}{% endfor %}"


def plain_tokenizer(*special, eos="<|endoftext|>", chat_template=None):
    """One token a character, without a mask token."""
    tokens = [*LETTERS, "<|unknown|>", "<|endoftext|>", *special]
    inner = Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token="<|unknown|>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<|unknown|>", eos_token=eos, pad_token=eos)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|endoftext|>", *special]})
    tokenizer.chat_template = chat_template
    return tokenizer


def random_model(config, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config).eval()


def llama_config(rows, **fields):
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    rest = {"max_position_embeddings": 64, "initializer_range": 0.2, "tie_word_embeddings": True}
    ends = {"bos_token_id": None, "eos_token_id": 17, "pad_token_id": None}
    return LlamaConfig(vocab_size=rows, **{**shape, **rest, **ends, **fields})


def ar_folder(folder, *special, rows=None, seed=0, tokenizer=None, **fields):
    """An autoregressive Llama without a mask token; ``rows`` beyond the vocabulary are spare."""
    tokenizer = tokenizer or plain_tokenizer(*special)
    model = random_model(llama_config(rows or len(tokenizer), **fields), seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def edit_json(file, **changes):
    """Change keys of a JSON file; None removes one."""
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def question(lm, prompt=(1, 2, 3), canvas=5):
    """A prompt and a masked canvas, and every canvas column."""
    batch = lay_out([Example(prompt=prompt, answer=[], order=0, canvas=canvas)], block_size=4, filler_id=lm.filler_id)
    return batch.query(torch.where(batch.is_canvas, lm.mask_id, batch.ids)), batch.is_canvas.nonzero()


def answer(lm, **kwargs):
    with torch.no_grad():
        return lm.logits(*question(lm, **kwargs))


LLADA = {
    "model_type": "llada",
    "architectures": ["LLaDAModelLM"],
    "auto_map": {"AutoConfig": "configuration_llada.LLaDAConfig"},
    "d_model": 32,
    "n_heads": 4,
    "n_kv_heads": None,
    "n_layers": 2,
    "mlp_hidden_size": 48,
    "vocab_size": 30,
    "embedding_size": 32,
    "block_type": "llama",
    "activation_type": "silu",
    "layer_norm_type": "rms",
    "rope": True,
    "rope_theta": 500_000.0,
    "rms_norm_eps": 1e-5,
    "max_sequence_length": 64,
    "weight_tying": False,
    "include_bias": False,
    "include_qkv_bias": False,
    "attention_dropout": 0.0,
    "mask_token_id": 20,
    "eos_token_id": 17,
    "pad_token_id": 17,
    "torch_dtype": "float32",
}


def llada_weights(config, seed=0):
    """Random tensors under the released names."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return 0.3 * torch.randn(*shape, generator=generator)

    d, heads, hidden = config["d_model"], config["n_heads"], config["mlp_hidden_size"]
    kv = d // heads * (config["n_kv_heads"] or heads)
    weights = {"wte.weight": draw(config["embedding_size"], d), "ln_f.weight": 1 + draw(d)}
    if not config["weight_tying"]:
        weights["ff_out.weight"] = draw(config["embedding_size"], d)
    for n in range(config["n_layers"]):
        shapes = {
            "q_proj": (d, d),
            "k_proj": (kv, d),
            "v_proj": (kv, d),
            "attn_out": (d, d),
            "ff_proj": (hidden, d),
            "up_proj": (hidden, d),
            "ff_out": (d, hidden),
        }
        for name, shape in shapes.items():
            weights[f"blocks.{n}.{name}.weight"] = draw(*shape)
            on_qkv = config["include_qkv_bias"] and name in ("q_proj", "k_proj", "v_proj")
            if config["include_bias"] or on_qkv:
                weights[f"blocks.{n}.{name}.bias"] = draw(shape[0])
        for name in ("attn_norm", "ff_norm"):
            weights[f"blocks.{n}.{name}.weight"] = 1 + draw(d)
    return {f"model.transformer.{name}": tensor for name, tensor in weights.items()}


def llada_folder(folder, weights=None, tokenizer=None, shards=1, **changes):
    """A folder as LLaDA was released: its names, its configuration, code that must not run."""
    config = {**LLADA, **changes}
    weights = weights or llada_weights(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_llada.py").write_text("raise SystemExit('code of the checkpoint was run')\n")
    names = sorted(weights)
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        place = {name: f"model-{i % shards + 1:05d}-of-{shards:05d}.safetensors" for i, name in enumerate(names)}
        for file in sorted(set(place.values())):
            save_file({n: weights[n] for n in names if place[n] == file}, folder / file, metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": place}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (tokenizer or plain_tokenizer("<|eot_id|>", "x1", "<|mdm_mask|>")).save_pretrained(folder)
    edit_json(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tok.LLaDATokenizer", None]})
    return folder
