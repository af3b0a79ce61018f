"""The thinking that a model marks before it answers, which never counts as an answer."""

import ast
import re
import textwrap

from unmask.tasks.fences import Block, blocks

# Opening and closing marks. The first are DeepSeek-R1's and Qwen3's, those of prompts that ask for reasoning in tags
# (GRPO recipes, d1 of arXiv 2504.12216), EXAONE Deep's and Seed-OSS's; then Magistral's, Command A's, Sky-T1's and
# OpenThoughts', and Kimi's; the channels of gpt-oss, also where a tokenizer left out their special tokens.
_TAGS = "think|thinking|thoughts?|reasoning|analysis|scratchpad|reflection|seed:think"
_OPENS = (
    rf"<(?P<tag>{_TAGS})>|<\|channel\|>(?P<channel>analysis)<\|message\|>|"
    r"\[(?P<square>THINK)\]|<\|START_(?P<bar>THINKING)\|>|"
    r"<\|begin_of_(?P<of>thought)\|>|◁(?P<arrow>think)▷"
)
_CLOSES = (
    rf"</(?:{_TAGS})>|<\|channel\|>final<\|message\|>|assistantfinal|"
    r"\[/THINK\]|<\|END_THINKING\|>|<\|end_of_thought\|>|◁/think▷"
)
_MARK = re.compile(f"(?i:{_OPENS})|(?P<closes>(?i:{_CLOSES}))")
_CLOSING = {
    "tag": "</{}>", "square": "[/{}]", "bar": "<|END_{}|>", "of": "<|end_of_{}|>", "arrow": "◁/{}▷",
    "channel": "<|end|>",
}  # fmt: skip
# A string or a span of code on one line; an apostrophe opens none.
_QUOTE = re.compile(r"""(?<!\w)(?:[rRbBfFuU]{1,2})?(["'])(?:(?!\1)[^\n])*\1(?!\w)|(`+)(?:(?!\2)[^\n])+\2""")
_MOST_SECTIONS, _LONGEST, _NEAR = 20, 50_000, 500  # sections, characters that are parsed, before and after a mark


def without_thinking(text: str) -> str:
    r"""Return what a text says outside its thinking.

    A section ends with its own closing mark; one that is not closed goes to the end, and all before a closing mark
    that was never opened is thinking, as the prompt may have opened it. A mark is none where it is only spelt: in a
    fenced block that is Python, in a string, in a span of code.

    >>> without_thinking("<think>4? No.</think>5")
    '5'
    >>> without_thinking("4? No.</think>5"), without_thinking("5<think>or 4")
    ('5', '5\n')
    >>> without_thinking("def f(x): return x.split('</think>')[-1]")
    "def f(x): return x.split('</think>')[-1]"
    """
    kept: list[str] = []
    for _ in range(_MOST_SECTIONS):
        mark = _first(text)
        if mark is None:
            break
        if mark["closes"]:
            kept, text = [], text[mark.end() :]
            continue
        kept.append(text[: mark.start()])
        kind = mark.lastgroup or ""
        closing = re.compile(re.escape(_CLOSING[kind].format(mark[kind])), re.IGNORECASE).search(text, mark.end())
        text = text[closing.end() :] if closing else ""
    else:  # without end: what follows the last of them
        *_, last = _MARK.finditer(f"{text}</think>")
        text = text[last.end() :]
    return "\n".join([part for part in kept if part.strip()] + [text])


def _first(text: str) -> re.Match[str] | None:
    """Return the first mark that is not merely quoted; None if there is none."""
    marks = _MARK.finditer(text)
    mark = next(marks, None)
    if mark is None or _is_python(text, comments=False):
        return None
    fenced, block = blocks(text), None
    while mark:
        while block is None or block.end <= mark.start():
            block = next(fenced, None) or Block(language="", content="", start=len(text), end=len(text))
        is_fenced = block.start <= mark.start() and _is_python(block.content)
        ends = block.end if is_fenced else _end_of_quote(text, mark)
        if ends is None:
            return mark
        mark = next((other for other in marks if other.start() >= ends), None)
    return None


def _end_of_quote(text: str, mark: re.Match[str]) -> int | None:
    """Return the index at which the string or span of code around a mark ends; None if it is in none."""
    line, end = text.rfind("\n", 0, mark.start()) + 1, text.find("\n", mark.end())
    line, end = max(line, mark.start() - _NEAR), min(end if end >= 0 else len(text), mark.end() + _NEAR)
    spans = (quote.span() for quote in _QUOTE.finditer(text, line, end))
    return next((end for start, end in spans if start <= mark.start() < end), None)


def _is_python(text: str, *, comments: bool = True) -> bool:
    """Return whether a text is Python, whole or the body of a function, and its marks are in strings (or comments)."""
    if len(text) > _LONGEST:
        return False

    def spoilt(mark: re.Match[str]) -> str:
        """Return what may stand in a string, and on a line of its own only in one of several lines."""
        return "\N{SECTION SIGN}" if comments or _end_of_quote(text, mark) else "\n\N{SECTION SIGN}"

    try:
        ast.parse(textwrap.dedent(_MARK.sub(spoilt, text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
