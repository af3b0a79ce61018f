"""Chat templates that show tools, calls and thinking, each with a habit of a real family."""

from chat_templates import tokenizer_for

_TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\n' + (messages[0]['content'] if messages[0]['role'] == 'system' else '') }}"
    "{{ '<tools>' }}{% for tool in tools %}{{ '\n' + tool | tojson }}{% endfor %}{{ '\n</tools><|im_end|>\n' }}"
    "{% elif messages[0]['role'] == 'system' %}"
    "{{ '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{% endif %}"
)
_OTHERS = (
    "{% if m['role'] == 'user' %}{{ '<|im_start|>user\n' + m['content'] + '<|im_end|>\n' }}"
    "{% elif m['role'] == 'tool' %}{{ '<|im_start|>user\n<result>' + m['content'] + '</result><|im_end|>\n' }}"
)
_CALLS = (
    "{% for call in m['tool_calls'] or [] %}"
    "{{ '\n<call>{\"name\": \"' + call['function']['name'] + '\", \"arguments\": ' }}"
    "{% if STRINGS and call['function']['arguments'] is string %}{{ call['function']['arguments'] }}"
    "{% else %}{{ call['function']['arguments'] | tojson }}{% endif %}{{ '}</call>' }}{% endfor %}"
)
_START = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

CALLING = (  # writes arguments by tojson, so that JSON text would be quoted once more; as Qwen2.5
    _TOOLS + "{% for m in messages %}" + _OTHERS + "{% elif m['role'] == 'assistant' %}"
    "{{ '<|im_start|>assistant\n' + (m['content'] or '') }}"
    + _CALLS.replace("STRINGS", "false")
    + "{{ '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}" + _START
)
THOUGHTFUL = (  # shows reasoning_content after the last user turn, JSON text as it stands; as Qwen3
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}"
    + _TOOLS + "{% for m in messages %}" + _OTHERS + "{% elif m['role'] == 'assistant' %}"
    "{% set text, thought = m['content'], m.get('reasoning_content') or '' %}"
    "{% if not thought and '</think>' in text %}"
    "{% set thought = text.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>assistant\n' }}{% if loop.index0 > ns.last and (loop.last or thought) %}"
    "{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}{{ text }}"
    + _CALLS.replace("STRINGS", "true") + "{{ '<|im_end|>\n' }}{% endif %}{% endfor %}" + _START
)  # fmt: skip
OPENING = THOUGHTFUL.replace("assistant\n' }}{% endif %}", "assistant\n<think>\n' }}{% endif %}")
"""Its generation prompt opens the thinking; as Qwen3's thinking models."""

CLOSING = (  # opens the thinking for decoding, and writes a closed section in front of answers without; as Nemotron
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and '<think>' not in m['content'] %}{{ '<think></think>' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
VERBATIM = (  # opens the thinking, and writes answers as they are
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
SINGLE = (  # one call in a turn, whose text it drops; tools with the user; results by tojson; as Llama 3.1
    "{{ bos_token }}{% for m in messages %}{% if 'tool_calls' in m %}"
    "{% if m['tool_calls'] | length != 1 %}{{ raise_exception('only one call in a turn') }}{% endif %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"' + m['tool_calls'][0]['function']['name'] }}"
    "{{ '\", \"parameters\": ' + m['tool_calls'][0]['function']['arguments'] | tojson + '}<|eot_id|>' }}"
    "{% elif m['role'] == 'tool' %}"
    "{{ '<|start_header_id|>ipython<|end_header_id|>\n\n' + m['content'] | tojson + '<|eot_id|>' }}"
    "{% else %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
    "{% if loop.first and tools %}{% for tool in tools %}{{ tool | tojson(indent=2) + '\n' }}{% endfor %}{% endif %}"
    "{{ m['content'] | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
JOINED = (  # adds arguments to its text, so that they must be text; as DeepSeek
    "{% for m in messages %}{% if m['role'] == 'assistant' and m['tool_calls'] %}"
    "{% for call in m['tool_calls'] %}{{ '<s>' + call['function']['name'] + ' ' + call['function']['arguments'] }}"
    "{% endfor %}{{ '</s>' }}{% endif %}"
    "{% if m['role'] == 'assistant' and m['content'] %}{{ '<s>' + m['content'] + '</s>' }}"
    "{% elif m['role'] != 'assistant' %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>' }}{% endif %}"
)
SHOWING = {"calling": CALLING, "thoughtful": THOUGHTFUL, "opening": OPENING, "single": SINGLE}
"""Those that show tools and calls."""


def tokenizer_of(template):
    """Wrap the small tokenizer with a template."""
    tokenizer = tokenizer_for("chatml")
    tokenizer.chat_template = template
    return tokenizer
