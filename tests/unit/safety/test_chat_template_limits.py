"""Chat templates run under limits: they write what they write in transformers, and harm is answered by one line."""

import json
import os
import time

import psutil
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from unmask.data.templates import text_of
from unmask.errors import UserError
from unmask.runtime.transformers_api import render_chat

LIMITS = {
    "repeated text": "{{ 'x' * 10**9 }}",
    "repeated text that is no constant": "{{ (messages[0].content * 10**8) * 10**3 }}",
    "repeated list": "{{ ([1] * 10**9) | length }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "power in a branch that is not taken": "{% if false %}{{ 7 ** (7 ** 11) }}{% endif %}",
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops that write": "{% for a in range(99999) %}{% for b in range(9999) %}pad{% endfor %}{% endfor %}",
    "doubling": "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "doubling by ~": "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "doubling by join": "{% set ns = namespace(s='ab') %}{% for i in range(60) %}"
    "{% set ns.s = [ns.s, ns.s] | join %}{% endfor %}",
    "doubling by replace": "{% set ns = namespace(s='aa') %}{% for i in range(60) %}"
    "{% set ns.s = ns.s.replace('a', 'aa') %}{% endfor %}",
    "lists of lists": "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "wide format": "{{ '%999999999d' % 1 }}",
    "wide format by method": "{{ '{:>999999999}'.format(1) }}",
    "filter format": "{{ '%0999999999d' | format(3) }}",
    "center": "{{ 'x' | center(10**9) }}",
    "ljust": "{{ 'x'.ljust(10**10) }}",
    "zfill": "{{ '1'.zfill(10**9) }}",
    "indent": "{{ ('a\\n' * 10**5) | indent(10**5) }}",
    "tojson indent": "{{ [[1, 2], [3]] | tojson(indent=10**9) }}",
    "join of a product": "{{ (['ab'] * 10**8) | join(',') }}",
    "many characters": "{% for a in range(9999) %}{{ 'some text of a turn ' * 50 }}{% endfor %}",
    "recursive macro": "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{% macro g(n) %}"
    "{% if n %}{{ g(n - 1) }}{{ g(n - 1) }}{% endif %}{% endmacro %}{{ g(60) }}",
    "recursive loop": "{% for m in messages recursive %}{% for i in range(99999) %}{{ loop(messages) }}{% endfor %}"
    "{% endfor %}",
    "lipsum": "{{ lipsum(n=99999, html=false) | length }}{{ lipsum(n=9999999) }}",
    "sort": "{{ (range(99999) | list * 900) | sort | length }}",
    "slices": "{{ range(99999) | slice(99999999) | list | length }}",
    "a million variables": "{% set a = 1 %}" * 90_000,
    "long source": "x" * 3_000_000,
}
REFUSED = {
    "raise_exception": "{{ raise_exception('Only users\\nmay speak') }}",
    "missing key": "{{ messages[0]['nobody'].x.y }}",
    "no such index": "{{ messages[7].role }}",
    "division": "{{ 1 // 0 }}",
    "endless macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "deep brackets": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "deep lists": "{{ " + "[" * 3000 + "]" * 3000 + " }}",
    "deep blocks": "{% if 1 %}" * 400 + "{% endif %}" * 400,
    "deep loops": "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    "long chain": "{{ " + "+".join(["1"] * 9000) + " }}",
    "syntax": "{% for %}",
    "unknown tag": "{% include 'secrets' %}",
    "unknown filter": "{{ 1 | nonesuch }}",
    "class of a value": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals of a macro": "{% macro f() %}{% endmacro %}{{ f.__globals__['os'] }}",
    "format to attributes": "{{ '{0.__class__.__base__}'.format(1) }}",
    "changed list": "{{ messages.append(1) }}",
    "namespace of dunders": "{{ namespace(__class__=1) }}",
    "long message": "{{ raise_exception('no' * 9999) }}",
    "type": "{{ 1 + 'a' }}",
    "nothing to read": "{% import 'os' as os %}",
    "huge range": "{% for i in range(10**9) %}{% endfor %}",
}


@pytest.fixture(autouse=True)
def _less_time(monkeypatch):
    monkeypatch.setattr("unmask.runtime.template_process.SECONDS", 0.4)


def tokenizer_of(template):
    inner = Tokenizer(models.WordLevel({"a": 0, "<|end|>": 1, "?": 2}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="?", eos_token="<|end|>", bos_token="a")
    tokenizer.name_or_path = "owner/model"
    tokenizer.chat_template = template
    return tokenizer


TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]


def refusal(template, call=render_chat, *arguments):
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        call(tokenizer_of(template), *(arguments or (TALK,)))
    assert time.monotonic() - began < 5
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400, message
    return message


@pytest.mark.parametrize("template", LIMITS.values(), ids=LIMITS)
def test_limits(template):
    before = psutil.Process().memory_info().rss
    message = refusal(template)
    assert "the chat template of 'owner/model' " in message
    assert psutil.Process().memory_info().rss - before < 200 * 2**20
    assert render_chat(tokenizer_of("{{ messages[0].content }}"), TALK) == "Hi"


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED)
def test_whatever_it_raises(template):
    assert "the chat template of 'owner/model' does not render these turns: " in refusal(template)


def test_the_cause_is_said():
    assert refusal(REFUSED["raise_exception"]).endswith(": Only users")
    assert "ZeroDivisionError" in refusal(REFUSED["division"])
    assert "2 s of processor time" in refusal(LIMITS["nested loops"])
    assert "512 MiB of memory" in refusal(LIMITS["repeated text"])
    assert "characters" in refusal(LIMITS["many characters"])


def test_time_is_counted_over_all_renderings_and_data_are_refused_at_once():
    slow = "{{ messages[0].content }}{% for a in range(100) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    tokenizer, began = tokenizer_of(slow + "{{ messages[-1].content }}"), time.monotonic()
    with pytest.raises(UserError, match="was stopped"):  # noqa: PT012
        for _ in range(100):
            render_chat(tokenizer, TALK)
    with pytest.raises(UserError, match="was stopped"):
        text_of(tokenizer)
    assert time.monotonic() - began < 8


def test_a_template_that_is_quick_is_never_stopped():
    tokenizer = tokenizer_of("{% for m in messages %}{{ m.content }}{% endfor %}")
    assert all(render_chat(tokenizer, TALK) == "HiHo" for _ in range(2000))
    long = [{"role": "user", "content": "word " * 100_000}] * 4
    assert render_chat(tokenizer, long) == "word " * 400_000


def test_after_a_fork_both_processes_render():
    tokenizer = tokenizer_of("{{ messages[0].content }}")
    assert render_chat(tokenizer, TALK) == "Hi"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, render_chat(tokenizer, TALK).encode())
        os._exit(0)
    assert render_chat(tokenizer, TALK) == "Hi"
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 9) == b"Hi"
    os.close(read)
    os.close(write)


ORDINARY = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}{% if tools is not none %}"
    "{% for t in tools %}{{ t | tojson(indent=4) }}\n\n{% endfor %}{% endif %}[S]{{ s }}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content | trim }}{% endfor %}",
    "thinking": "{%- set ns = namespace(last=-1, seen=false) -%}{%- for m in messages[::-1] -%}"
    "{%- if not ns.seen and m.role == 'user' -%}{%- set ns.seen = true -%}{%- set ns.last = loop.index0 -%}"
    "{%- endif -%}{%- endfor -%}{%- for m in messages -%}{%- if '</think>' in m.content -%}"
    "{{ m.content.split('</think>')[-1].lstrip('\\n') }}{%- else -%}{{ m.content }}{%- endif -%}"
    "{%- if m.reasoning_content is defined and m.reasoning_content is not none -%}<think>{{ m.reasoning_content }}"
    "{%- endif -%}{%- if m.tool_calls -%}{%- for c in m.tool_calls -%}{%- set c = c.function or c -%}"
    "{{- '{\"name\": ' }}{{- c.name | tojson }}{{- ', \"arguments\": ' }}{{- c.arguments | tojson }}}"
    "{%- endfor -%}{%- endif -%}{%- endfor -%}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}"
    "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "loop controls": "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}"
    "{% if loop.index > 2 %}{% break %}{% endif %}{% endfor %}",
    "macro": "{% macro turn(m, pad='-') %}{{ pad * 3 }}{{ m.role | upper }}: {{ m.content | e }}{% endmacro %}"
    "{% for m in messages %}{{ turn(m) }}{{ turn(m, pad='=') }}{% endfor %}",
    "dict": "{% set d = dict(a=1, b=[2]) %}{{ d | tojson }}{{ dict.fromkeys(['x']) }}{{ d.items() | list }}",
    "filters": "{{ messages | map(attribute='role') | unique | join('|') }}{{ messages | length }}"
    "{{ messages | selectattr('role', 'equalto', 'user') | list | tojson }}{{ 'a<b>' | tojson }}{{ 1.50 | string }}"
    "{{ messages[0] | dictsort }}{{ none }}{{ true }}{{ undefined_thing }}{{ messages[0].nothing is defined }}",
    "json": "{{ messages | tojson(sort_keys=true, separators=(',', ':'), ensure_ascii=true) }}",
    "blocks": "  {% if true %}\n  kept\n  {% endif %}\n{# gone #}\n{%- raw %}{{ raw }}{% endraw %}\n",
    "documents": "{{ documents is none }}{{ tools is none }}{{ custom | default('no') }}{{ add_generation_prompt }}",
    "set block": "{% set text %}{% for m in messages %}{{ m.content }}{% endfor %}{% endset %}{{ text[::-1] }}",
    "namespace": "{% set ns = namespace({'a': 1}, b=2, self=3) %}{% set ns.a = 5 %}{{ ns.a }}{{ ns.b }}{{ ns.self }}",
    "year": "{{ strftime_now('%Y') | length }}",
}
CHATS = [
    [*TALK, {"role": "user", "content": "  And?\n"}],
    [{"role": "system", "content": "Be kind."}, *TALK],
    [{"role": "user", "content": "é 漢字 😀 <tag> \"q\" 'a' \\ \x00 \ud83d {{ 1 }}"}],
    [
        TALK[0],
        {"role": "assistant", "content": "<think>a</think>\n\nb", "reasoning": "why"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, None]}}}],
        },
    ],
]
TOOLS = [None, [{"type": "function", "function": {"name": "f", "description": "of é", "parameters": {"a": 1.5}}}]]


@pytest.mark.parametrize("template", ORDINARY.values(), ids=ORDINARY)
def test_the_text_is_what_transformers_writes(template):
    tokenizer, compared = tokenizer_of(template), 0
    for chat in CHATS:
        for tools in TOOLS:
            for opened in (False, True):
                options = {"tools": tools, "custom": "yes" if opened else "no"}
                try:
                    wanted = tokenizer.apply_chat_template(
                        json.loads(json.dumps(chat)), tokenize=False, add_generation_prompt=opened, **options
                    )
                except Exception:
                    with pytest.raises(UserError):
                        render_chat(tokenizer, chat, opened=opened, **options)
                else:
                    assert render_chat(tokenizer, chat, opened=opened, **options) == wanted
                    compared += 1
    assert compared >= 8
