"""Chat templates of released diffusion families, in our own words: each renders what the released one renders.

Where the facts are from, and how sure they are. "Rendered" means that the released template, read in the public
repository named, was rendered beside ours for every conversation of ``CONVERSATIONS`` that the family takes, with and
without the opening of an answer, and that the two texts were equal.

- ``llada``: LLaDA-8B-Instruct's ``tokenizer_config.json``, a copy in yinj66/support_basis,
  ``LLaDA-8B-Instruct-B&S-light/``. Rendered.
- ``ling``: LLaDA-MoE and LLaDA2 have Ling's. Ling-1T's template stands in a log in ikawrakow/ik_llama.cpp, issue 856.
  Rendered. Those of LLaDA-MoE and LLaDA2 themselves were not seen; the prompts that inclusionAI/dInfer
  (``benchmarks/benchmark.py``) and inclusionAI/dFactory (``docs/source/infer/sglang.rst``) write by hand agree with it.
- ``qwen``: Fast-dLLM v2 is said to have Qwen2.5-Instruct's (by others; its own files were not seen), which is
  chujiezheng/chat_templates, ``chat_templates/qwen2.5-instruct.jinja``. Rendered.
- ``dream``: not seen. The conversation in NVlabs/Fast-dLLM, ``dream/demo_multiturn_chat.py``, and the prompt in
  apple/ml-diffucoder, ``inference_demo.py``, are Qwen2.5's with another system line.
- ``sdar``: JetAstra/SDAR, ``training/model/SDAR-4B-Chat/chat_template.jinja``; that of 8B is the same. Rendered.
- ``seed``: Stable-DiffCoder is a Seed-Coder; Seed-Coder-8B-Instruct's stands in ByteDance-Seed/Seed-Coder, issue 2.
  Rendered. Stable-DiffCoder's own file was not seen.
- ``bert``: the template that ZHZisZZ/dllm, ``dllm/utils/models.py``, gives its ModernBERT and BERT chat models.
  Rendered.
"""

import json
from dataclasses import dataclass

from chat_templates import tokenizer_for
from tokenizers import AddedToken

_HOW = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_CALL = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)
_SEED = (
    "You are an AI programming assistant, utilizing the Seed-Coder model, developed by ByteDance Seed, and you only "
    "answer questions related to computer science. For politically sensitive questions, security and privacy issues, "
    "and other non-computer science questions, you will refuse to answer."
)


def say(text: str) -> str:
    """Return the tag that writes a text as it is."""
    return "{{ " + json.dumps(text) + " }}"


TOOLS = say(_HOW) + "{% for t in tools %}" + say("\n") + "{{ t | tojson }}{% endfor %}" + say(_CALL)
HAS_SYSTEM = "messages[0].role == 'system'"
GIVEN = "{% if " + HAS_SYSTEM + " %}{{ messages[0].content }}"
LATER_SYSTEM = "m.role == 'system' and not loop.first"


def _calls(arguments: str) -> str:
    """Return what writes the calls of a turn, each in lines of its own."""
    return (
        "{% for c in m.tool_calls or [] %}{% set f = c.function or c %}"
        "{% if text or not loop.first %}" + say("\n") + "{% endif %}"
        + say('<tool_call>\n{"name": "') + "{{ f.name }}" + say('", "arguments": ')
        + "{{ " + arguments + " }}" + say("}\n</tool_call>") + "{% endfor %}"
    )  # fmt: skip


def _results(opening: str, closing: str) -> str:
    """Return what writes results of tools; those in a row share a turn."""
    return (
        "{% elif m.role == 'tool' %}{% if loop.first or loop.previtem.role != 'tool' %}" + say(opening) + "{% endif %}"
        + say("\n<tool_response>\n") + "{{ m.content }}" + say("\n</tool_response>")
        + "{% if loop.last or loop.nextitem.role != 'tool' %}" + say(closing) + "{% endif %}"
    )  # fmt: skip


_EITHER = "f.arguments if f.arguments is string else f.arguments | tojson"
_ASKED = (
    "{% set ns = namespace(asked=-1) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.asked = loop.index0 %}{% endif %}{% endfor %}"
)
_THOUGHT = (
    "{% set text, thought = m.content or '', m.reasoning_content or '' %}{% if not thought and '</think>' in text %}"
    "{% set thought = text.split('</think>')[0].split('<think>')[-1].strip('\\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
)
_SECTION = say("<think>\n") + "{{ thought.strip('\\n') }}" + say("\n</think>\n\n")
_OPEN = "{% if add_generation_prompt %}"


def _chatml(system: str) -> str:
    """Return Qwen2.5's, with the line that stands where a conversation brings no system turn."""
    turn = say("<|im_start|>") + "{{ m.role }}" + say("\n") + "{{ m.content or '' }}"
    return (
        say("<|im_start|>system\n") + GIVEN + "{% else %}" + say(system) + "{% endif %}"
        "{% if tools %}" + say("\n\n") + TOOLS + "{% endif %}" + say("<|im_end|>\n")
        + "{% for m in messages %}{% set text = m.content %}"
        "{% if m.role in ('user', 'assistant') or " + LATER_SYSTEM + " %}"
        + turn + _calls("f.arguments | tojson") + say("<|im_end|>\n")
        + _results("<|im_start|>user", "<|im_end|>\n") + "{% endif %}{% endfor %}"
        + _OPEN + say("<|im_start|>assistant\n") + "{% endif %}"
    )  # fmt: skip


QWEN_LINE = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
HEADER = "<|start_header_id|>assistant<|end_header_id|>\n\n"
LLADA = (
    "{{ bos_token }}{% for m in messages %}" + say("<|start_header_id|>") + "{{ m.role }}"
    + say("<|end_header_id|>\n\n") + "{{ m.content | trim }}" + say("<|eot_id|>") + "{% endfor %}"
    + say(HEADER)
)  # fmt: skip
LING = (
    say("<role>SYSTEM</role>") + GIVEN + say("\n") + "{% endif %}{% if tools %}" + TOOLS + say("\n") + "{% endif %}"
    + say("detailed thinking off<|role_end|>") + _ASKED + "{% for m in messages %}"
    "{% if m.role == 'user' %}" + say("<role>HUMAN</role>") + "{{ m.content }}" + say("<|role_end|>")
    + "{% elif " + LATER_SYSTEM + " %}" + say("<role>SYSTEM</role>") + "{{ m.content }}" + say("<|role_end|>")
    + "{% elif m.role == 'assistant' %}" + say("<role>ASSISTANT</role>") + _THOUGHT
    + "{% if thought and loop.index0 > ns.asked %}" + say("\n") + _SECTION + "{% endif %}{{ text }}"
    + _calls(_EITHER) + say("<|role_end|>") + _results("<role>OBSERVATION</role>", "<|role_end|>")
    + "{% endif %}{% endfor %}" + _OPEN + say("<role>ASSISTANT</role>") + "{% endif %}"
)  # fmt: skip
SDAR = (
    "{% if tools or " + HAS_SYSTEM + " %}" + say("<|im_start|>system\n") + GIVEN
    + "{% if tools %}" + say("\n\n") + "{% endif %}{% endif %}{% if tools %}" + TOOLS + "{% endif %}"
    + say("<|im_end|>\n") + "{% endif %}" + _ASKED
    + "{% for m in messages %}{% if m.role == 'user' or " + LATER_SYSTEM + " %}"
    + say("<|im_start|>") + "{{ m.role }}" + say("\n") + "{{ m.content }}" + say("<|im_end|>\n")
    + "{% elif m.role == 'assistant' %}" + _THOUGHT + say("<|im_start|>assistant\n")
    + "{% if loop.index0 > ns.asked and (loop.last or thought) %}" + _SECTION + "{% endif %}{{ text }}"
    + _calls(_EITHER) + say("<|im_end|>\n") + _results("<|im_start|>user", "<|im_end|>\n")
    + "{% endif %}{% endfor %}" + _OPEN + say("<|im_start|>assistant\n")
    + "{% if enable_thinking is defined and not enable_thinking %}" + say("<think>\n\n</think>\n\n")
    + "{% endif %}{% endif %}"
)  # fmt: skip
SEED = (
    "{% if not " + HAS_SYSTEM + " %}{{ bos_token }}" + say(f"system\n{_SEED}\n\n") + "{{ eos_token }}{% endif %}"
    "{% for m in messages %}{{ bos_token + m.role }}" + say("\n") + "{{ m.content | trim }}{{ eos_token }}{% endfor %}"
    + _OPEN + "{{ bos_token }}" + say("assistant\n") + "{% endif %}"
)  # fmt: skip
BERT = (
    "{% if " + HAS_SYSTEM + " %}" + say("[SYS]\n") + "{{ messages[0].content | trim }}" + say("\n[/SYS]\n\n")
    + "{% endif %}{% for m in messages if m.role != 'system' %}"
    "{% set name = 'Question' if m.role == 'user' else 'Answer' %}"
    "{{ '[' + name + ']' }}" + say("\n") + "{{ m.content | trim }}" + say("\n") + "{{ '[/' + name + ']' }}"
    + say("\n\n") + "{% endfor %}{% if add_generation_prompt and messages[-1].role != 'assistant' %}"
    + say("[Answer]\n") + "{% endif %}"
)  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A chat template with the tokens that its tokenizer marks as special.

    Args:
        template: in our own words.
        special: tokens beside those of ``named``.
        named: names of tokens: bos, eos, pad, sep.
        end: the token that ends every trained turn.
        after: what the template writes after that token in a finished turn.
        takes: kinds of conversations that it shows whole.
    """

    template: str
    special: tuple[str, ...]
    named: dict[str, str | None]
    end: str
    after: str
    takes: tuple[str, ...] = ("plain", "tools", "thinking")


_QWEN = ("<|im_start|>", "<|im_end|>")
_TEXT = {"bos_token": None, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
_START = {**_TEXT, "bos_token": "<|startoftext|>"}
_SEED_ENDS = {"bos_token": "<[begin▁of▁sentence]>", "eos_token": "<[end▁of▁sentence]>", "pad_token": "<[PAD▁TOKEN]>"}
_BERT_ENDS = {"bos_token": None, "eos_token": None, "pad_token": "[PAD]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
_HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

FAMILIES = {
    "llada": Family(LLADA, _HEADERS, _START, "<|eot_id|>", HEADER, ("plain",)),
    "ling": Family(LING, ("<role>", "</role>", "<|role_end|>"), _START, "<|role_end|>", ""),
    "qwen": Family(_chatml(QWEN_LINE), _QWEN, _TEXT, "<|im_end|>", "\n", ("plain", "tools")),
    "dream": Family(_chatml("You are a helpful assistant."), _QWEN, _TEXT, "<|im_end|>", "\n", ("plain", "tools")),
    "sdar": Family(SDAR, _QWEN, _TEXT, "<|im_end|>", "\n"),
    "seed": Family(SEED, (), _SEED_ENDS, "<[end▁of▁sentence]>", "", ("plain",)),
    "bert": Family(BERT, (), _BERT_ENDS, "[SEP]", "\n[/Answer]\n\n", ("plain",)),
}  # fmt: skip

SYSTEM = {"role": "system", "content": "Be brief."}
ASK, MORE = {"role": "user", "content": "Is 91 prime?"}, {"role": "user", "content": "And 97?"}
NO, YES = {"role": "assistant", "content": "No, it is 7 times 13."}, {"role": "assistant", "content": "Yes."}
TOOL = {
    "type": "function",
    "function": {"name": "factors", "description": "Of a number.", "parameters": {"number": "int"}},
}
CALLS = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"type": "function", "id": f"c{n}", "function": {"name": "factors", "arguments": {"number": n, "as": "größer"}}}
        for n in (91, 97)
    ],
}
SPEAKING = {**CALLS, "content": "I look it up."}
RESULTS = [{"role": "tool", "content": text, "tool_call_id": f"c{n}"} for n, text in ((91, "[7, 13]"), (97, "[97]"))]
THINKS = {"role": "assistant", "content": "<think>\n91 = 7 * 13\n</think>\n\nNo."}
REASONS = {"role": "assistant", "content": "No.", "reasoning_content": "91 = 7 * 13"}

CONVERSATIONS = {  # kind, turns, tools
    "one turn": ("plain", [ASK, NO], []),
    "two turns": ("plain", [ASK, NO, MORE, YES], []),
    "system": ("plain", [SYSTEM, ASK, NO], []),
    "system, three turns": ("plain", [SYSTEM, ASK, NO, MORE, YES, ASK, NO], []),
    "spaces": ("plain", [SYSTEM, ASK, {"role": "assistant", "content": " No.\n\n```\n  7 * 13\n```"}, MORE, YES], []),
    "tools": ("tools", [ASK, CALLS, *RESULTS, NO], [TOOL]),
    "tools, system": ("tools", [SYSTEM, ASK, SPEAKING, *RESULTS, NO, MORE, YES], [TOOL]),
    "thinking": ("thinking", [SYSTEM, ASK, THINKS, MORE, YES], []),
    "thinking, with an earlier one": ("thinking", [ASK, THINKS, MORE, REASONS], []),
    "reasoning": ("thinking", [ASK, REASONS], []),
    "thinking, then a call": ("thinking", [ASK, {**CALLS, "reasoning_content": "Look."}, *RESULTS, REASONS], [TOOL]),
}


def tokenizer_of(family: str):
    """Return a small tokenizer with a family's template and special tokens."""
    found = FAMILIES[family]
    tokenizer = tokenizer_for(None)
    tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in found.special])
    tokenizer.add_special_tokens({name: text for name, text in found.named.items() if text is not None})
    for name, text in found.named.items():
        if text is None:
            setattr(tokenizer, name, None)
    tokenizer.chat_template = found.template
    return tokenizer
