"""What the engines that serve diffusion language models take for granted, and so decode otherwise without an error.

Read in SGLang 0.5.23 (``srt/dllm/config.py``, ``srt/models/sdar*.py``, ``llada2.py``), LMDeploy 0.18.0
(``pytorch/configurations/sdar.py``, ``strategies/dllm``), dInfer and llama.cpp's ``llama-diffusion-cli``; vLLM 0.33.0
serves none of these models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unmask.errors import UserError, did_you_mean
from unmask.models.facts import Facts
from unmask.models.families import Family


@dataclass(frozen=True, kw_only=True)
class Served:
    """How an engine serves one family.

    Args:
        command: line of a shell that serves the folder ``OUT``.
        mask_id: the one that is written into the engine; None where it reads the folder's.
        block_flag: how the engine is told another block size; empty where it cannot be.
        needs_code: whether it needs the authors' ``.py`` files beside the weights.
        is_sparse: whether it takes every layer for a mixture of experts.
        reads_gguf: whether it reads a gguf file only, no folder.
    """

    command: str
    mask_id: int | None = None
    block_flag: str = ""
    needs_code: bool = False
    is_sparse: bool = False
    reads_gguf: bool = False


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A program that serves models.

    Args:
        title: shown to users.
        serves: name of a family -> how.
    """

    title: str
    serves: Mapping[str, Served] = field(default_factory=dict)


_SGLANG = (
    "printf 'threshold: 0.95\\nblock_size: {block_size}\\n' > dllm.yaml && python -m sglang.launch_server "
    "--model-path OUT --trust-remote-code --dllm-algorithm LowConfidence --dllm-algorithm-config dllm.yaml"
)
_LMDEPLOY = (
    "lmdeploy serve api_server OUT --backend pytorch --dllm-block-length {block_size} "
    "--dllm-unmasking-strategy low_confidence_dynamic --dllm-confidence-threshold 0.85"
)
_DINFER = (
    "python benchmarks/benchmark.py --model_name OUT --model_type {family} --gen_len 256 "
    "--parallel_decoding threshold --threshold 0.9"
)
_YAML = "block_size: {block_size} in dllm.yaml"
_LENGTH = "--dllm-block-length {block_size}"
_LLAMA_CPP = "llama-diffusion-cli -m OUT -p '…' -ub 512 -b 512 -c 512 --diffusion-steps 512 "
ENGINES: Mapping[str, Engine] = {
    "sglang": Engine(
        title="SGLang",
        serves={
            "sdar": Served(command=_SGLANG, mask_id=151669, block_flag=_YAML, needs_code=True),
            "sdar_moe": Served(command=_SGLANG, mask_id=151669, block_flag=_YAML, needs_code=True, is_sparse=True),
            "llada2": Served(command=_SGLANG, mask_id=156895, block_flag=_YAML, needs_code=True),
        },
    ),
    "lmdeploy": Engine(
        title="LMDeploy",
        serves={
            "sdar": Served(command=_LMDEPLOY, mask_id=151669, block_flag=_LENGTH),
            "sdar_moe": Served(command=_LMDEPLOY, mask_id=151669, block_flag=_LENGTH),
        },
    ),
    "dinfer": Engine(
        title="dInfer",
        serves={
            "llada": Served(command=_DINFER + " --block_length 32", mask_id=126336),
            "llada_moe": Served(
                command="python -m tools.transfer --input OUT --output OUT-fused && "
                + _DINFER.replace("OUT", "OUT-fused")
                + " --block_length 64",
                mask_id=156895,
                needs_code=True,
            ),
            "llada2": Served(
                command=_DINFER + " --block_length {block_size} --use_bd --cache prefix",
                mask_id=156895,
                block_flag="--block_length {block_size}",
                needs_code=True,
            ),
        },
    ),
    "llama.cpp": Engine(
        title="llama.cpp",
        serves={
            "llada": Served(command=_LLAMA_CPP + "--diffusion-block-length 32", reads_gguf=True),
            "llada_moe": Served(command=_LLAMA_CPP + "--diffusion-block-length 32", is_sparse=True, reads_gguf=True),
            "dream": Served(command=_LLAMA_CPP + "--diffusion-eps 0.001", reads_gguf=True),
            "rnd1": Served(command=_LLAMA_CPP + "--diffusion-eps 0.001", is_sparse=True, reads_gguf=True),
        },
    ),
    "authors": Engine(
        title="the authors' own code",
        serves={"fast_dllm_v2": Served(command="", mask_id=151665, needs_code=True)},
    ),
}


def serving_engine(name: str) -> Engine:
    """Return the engine of a name; a ``UserError`` if there is none."""
    if name not in ENGINES:
        raise UserError(f"unknown engine '{name}'; {did_you_mean(name, ENGINES)}")
    return ENGINES[name]


def serving(family: str, engine: str | None = None) -> dict[str, Served]:
    """Return the engines that serve a family.

    Args:
        family: its name.
        engine: only this one; None for all.

    Returns:
        Name of the engine -> how it serves the family; may be empty.

    Raises:
        UserError: there is no such engine, or it does not serve the family.
    """
    if engine is not None:
        serving_engine(engine)
    found = {name: each.serves[family] for name, each in ENGINES.items() if family in each.serves}
    if engine is None:
        return found
    if engine not in found:
        takes = ", ".join(sorted(ENGINES[engine].serves))
        raise UserError(f"{ENGINES[engine].title} does not serve {family} models; it serves {takes}")
    return {engine: found[engine]}


def commands(
    family: str, facts: Facts, engine: str | None = None, *, is_gguf: bool = False, has_dense_layers: bool = False
) -> dict[str, str]:
    """Return the lines that serve a model.

    Args:
        family: its layout.
        facts: of the model.
        engine: only this one; None for all.
        is_gguf: whether it is a gguf file, else a folder.
        has_dense_layers: whether some layers of a mixture of experts have none.

    Returns:
        Title of each engine that can serve it -> a line of a shell; ``OUT`` stands for the folder or file.
    """
    values = {"block_size": facts.block_size or 32, "family": family}
    return {
        ENGINES[name].title: served.command.format(**values)
        for name, served in serving(family, engine).items()
        if served.command and served.reads_gguf == is_gguf and not (served.is_sparse and has_dense_layers)
    }


def obstacles(
    facts: Facts,
    family: Family,
    *,
    engine: str | None = None,
    heads: Sequence[str] = (),
    mask_id: int | None = None,
    block_size: int | None = None,
    has_dense_layers: bool = False,
) -> list[str]:
    """Return why engines would decode a model of a family otherwise than it was trained, a line each.

    Args:
        facts: of the model.
        family: whose layout it is to be served in.
        engine: the one that is to serve it; None for all that serve the family.
        heads: names of the model's heads.
        mask_id: of the source checkpoint, which the engines' own id need not match; None without a source.
        block_size: of the source checkpoint.
        has_dense_layers: whether some layers of a mixture of experts have none.

    Returns:
        What is wrong, what was expected, and the setting to train with; empty if nothing is.
    """
    title = family.title
    found = []
    if facts.attention != family.attention:
        found.append(
            f"attention is {facts.attention}, {title} is served as {family.attention}; train with the objective "
            + ("block_diffusion" if family.attention == "block_causal" else "blockwise or vanilla")
        )
    elif facts.attention == "block_causal" and facts.grid != family.grid:
        found.append(
            f"blocks were counted from the {facts.grid}, {title} is served with blocks counted from the {family.grid}; "
            f"train with decoder.grid: {family.grid}"
        )
    if facts.shift != family.shift:
        word = {True: "shifted", False: "not shifted"}
        found.append(
            f"predictions are {word[facts.shift]}, {title} is served {word[family.shift]}; train a checkpoint of that "
            f"family, or load the base with shift={str(family.shift).lower()}"
        )
    if heads:
        found.append(f"the model has the heads {', '.join(heads)}, which engines do not run; train without them")
    found += _block_faults(facts, family, engine, block_size)
    found += _mask_faults(facts, family, engine, mask_id)
    if has_dense_layers and engine and serving(family.name, engine)[engine].is_sparse:
        found.append(f"some layers have no experts, {ENGINES[engine].title} takes every layer for a mixture of experts")
    return found


def _block_faults(facts: Facts, family: Family, engine: str | None, block_size: int | None) -> list[str]:
    if family.block_size is None or facts.block_size == (wanted := block_size or family.block_size):
        return []
    told = {name: one.block_flag for name, one in serving(family.name, engine).items() if one.block_flag}
    if engine in told:
        return []
    can = "; or name an engine that can be told" if told else ""
    flags = ", ".join(f"--for {name} ({flag.format(block_size=facts.block_size)})" for name, flag in told.items())
    return [
        f"blocks have {facts.block_size} columns, {family.title} is served in blocks of {wanted}; train with "
        f"block_size: {wanted}{can}{': ' if told else ''}{flags}"
    ]


def _mask_faults(facts: Facts, family: Family, engine: str | None, mask_id: int | None) -> list[str]:
    if mask_id is not None and facts.mask_id != mask_id:
        return [
            f"the mask token is {facts.mask_id}, that of the source is {mask_id}; train the source's own mask token"
        ]
    wired = {one.mask_id for one in serving(family.name, engine).values()} - {None, facts.mask_id}
    # A model with fewer rows than the released vocabulary is nobody's release: its engine is told by hand.
    strict = [each for each in wired if engine is not None or facts.vocab_size > (each or 0)]
    if not strict:
        return []
    who = ENGINES[engine].title if engine else "an engine"
    return [f"the mask token is {facts.mask_id}, {who} of {family.title} models has {strict[0]} written into it"]
