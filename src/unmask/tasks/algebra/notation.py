"""One spelling for each sign: Unicode mathematics, fonts, spaces and synonyms become plain LaTeX."""

import re
import unicodedata

_CHARS = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"),
    **dict.fromkeys("\u00b7\u22c5\u2219\u2022\u2217\u2062", "*"),
    **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u3000", " "),
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u2061\u200e\u200f", ""),
    **dict.fromkeys("\u2018\u2019\u2032", "'"),
    **dict.fromkeys("\u201c\u201d", '"'),
    **dict.fromkeys("\u00f7\u2044\u2215", "/"),
    "×": "*", "✕": "*", "∞": r"\infty ", "≤": r"\leq ", "⩽": r"\leq ", "≦": r"\leq ", "≥": r"\geq ", "⩾": r"\geq ",
    "≧": r"\geq ", "≠": r"\neq ", "≈": r"\approx ", "≡": r"\equiv ", "±": r"\pm ", "∓": r"\mp ", "∪": r"\cup ",
    "∩": r"\cap ", "∈": r"\in ", "∉": r"\notin ", "∅": r"\emptyset ", "∖": r"\setminus ", "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "ℕ": r"\mathbb{N}", "°": r"\degree ", "º": r"\degree ",
    "∠": r"\angle ", "△": r"\triangle ", "…": r"\dots ", "⋯": r"\dots ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "→": r"\to ", "∶": ":", "∣": "|", "ı": "i",
    "ℯ": "e", "ⅈ": "i", "⊂": r"\subset ", "⊆": r"\subseteq ", "∧": r"\land ", "∨": r"\lor ", "∥": r"\parallel ",
    "⊥": r"\perp ", "℃": r"\degree C", "℉": r"\degree F", "µ": r"\mu ", "¢": " cents",
    "√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]", "ϕ": r"\phi ", "ɸ": r"\phi ",
}  # fmt: skip
_LETTERS = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi
psi omega
"""
for _name in _LETTERS.split():
    _letter = unicodedata.lookup(f"GREEK SMALL LETTER {_name.upper().replace('LAMBDA', 'LAMDA')}")
    _CHARS[_letter] = f"\\{_name} "
    if _name in ("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "phi", "psi", "omega"):
        _CHARS[_letter.upper()] = f"\\{_name.capitalize()} "
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ", "0123456789+-()ni", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₐₙᵢₓ", "0123456789+-()anix", strict=True))
_SAME = {  # a command: its other names
    "frac": "dfrac tfrac cfrac nicefrac sfrac",
    "leq": "le leqslant leqq",
    "geq": "ge geqslant geqq",
    "neq": "ne",
    "emptyset": "varnothing",
    "dots": "ldots cdots dotsc dotsb dotsm",
    "binom": "dbinom tbinom",
    "approx": "simeq thickapprox",
    "setminus": "smallsetminus backslash",
    "to": "rightarrow",
    "phi": "varphi",
    "epsilon": "varepsilon",
    "degree": "degrees",
    "overline": "bar",
    "text": "mbox textrm textbf textit textsf texttt textup textnormal mathrm mathbf mathit mathsf mathtt mathnormal "
    "boldsymbol bm pmb operatorname hbox textsc emph mathop",
    "lor": "vee",
    "land": "wedge",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan arctg",
    "arccot": "acot arcctg",
    "tan": "tg",
    "cot": "ctg",
    "triangle": "bigtriangleup",
    "iff": "Leftrightarrow",
}
_NAME = {other: name for name, others in _SAME.items() for other in others.split()}
_SILENT = """
left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle scriptstyle limits
nolimits middle mathstrut strut
"""
_SIGNS = {
    **dict.fromkeys(("times", "cdot", "ast", "cdotp", "bullet"), "*"),
    **dict.fromkeys(("quad", "qquad", "space", "enspace", "thinspace", "medspace", "thickspace"), " "),
    **dict.fromkeys(_SILENT.split(), ""),
    "lt": "<", "gt": ">", "div": "/", "colon": ":", "mid": "|", "vert": "|", "lvert": "|", "rvert": "|",
    "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")",
    "prime": "'", "imath": "i", "dollar": r"\$", "textdollar": r"\$", "euro": "€", "pounds": "£", "percent": r"\%",
    "R": r"\mathbb{R}", "infin": r"\infty ", "textdegree": r"\degree ", "sqrtsign": r"\sqrt ",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
_EXACT = r"(?:[1-9]\d{0,2})"
_PLAIN = (  # what is replaced in turn
    (re.compile(r"(?<=\d)(?:,\s*\\!\s*|\{,\})(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(?<=\d)\{,\}(?=\d)"), "."),  # 0{,}5 has a decimal comma
    (re.compile(r"\\!"), ""),
    (re.compile(r"(?<!\\)\\[,;: >]|~|\\hspace\s*\{[^{}]*\}|\s+"), " "),
    (re.compile(r"\\(?:left|right)\s*\.(?!\d)"), " "),
    (re.compile(r"\\not\s*(?:=|\\eq\b)|!=|=/="), r"\\neq "),
    (re.compile(r"<=|=<"), r"\\leq "),
    (re.compile(r">="), r"\\geq "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\.\.\.+"), r"\\dots "),
)
_THEN = (
    (
        re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z])|\{\s*\\text\s*\{\s*o\s*\}\s*\})|\\circ(?=\s*[CF]\b)"),
        r"\\degree ",
    ),
    (re.compile(r"\^\s*\\text\s*\{\s*o\s*\}"), r"\\degree "),
    (re.compile(r"\^\s*\{?\s*\\degree\s*\}?"), r"\\degree "),
    (re.compile(r"\\text\s*\{\s*\}"), " "),
    (re.compile(r"\\(?:mathbb|Bbb)\s*\{?\s*([RZQCN])\s*\}?"), r"\\mathbb{\1}"),
    (re.compile(r"(?<!\\)%"), r"\\%"),
    (re.compile(r"(?<=\d) ?x ?(?=10\^)"), "*"),
    (re.compile(r"\bper cent\b"), "percent"),
    (re.compile(r"\bDNE\b"), "does not exist"),
    (re.compile(r"(?<=[\dA-Za-z]) ?\(? ?(?<!\\)\bmod(?:ulo)? ?(\d+) ?\)?$"), r"\\pmod{\1}"),
    (re.compile(r"^(-?)(?:US|AU?|CA?|NZ|HK)(?=\\\$ ?\d)"), r"\1"),
    (re.compile(r"(?<![A-Za-z\\])(?:oo|[Ii]nfinity)(?= ?[,)\]])"), r"\\infty "),
    (re.compile(r"(?<=\d)'(?=\d{3}(?!\d))"), ""),  # 10'000, as written in Switzerland
    (re.compile(r"\\Delta ?(?=[A-Z]{3}(?![A-Za-z]))"), r"\\triangle "),
    (re.compile(r"(?<![A-Za-z\\])m(?: ?\\angle)(?![A-Za-z])"), r"\\angle "),
    (re.compile(r"(\\mathbb\{[RC]\}) ?- ?(?=\\\{|[\[(])"), r"\1\\setminus "),
    (re.compile(r"\{([^{}]+)\\over(?![A-Za-z])([^{}]+)\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"^\{([^{}]*,[^{}]*)\}$"), r"\\{\1\\}"),  # a set whose braces lost their backslashes
    (re.compile(r"^\]([^\[\]]*)\[$"), r"(\1)"),  # open at both ends, as written in France
    (re.compile(r"^\]([^\[\]]*)\]$"), r"(\1]"),
    (re.compile(r"^\[([^\[\]]*)\[$"), r"[\1)"),
    (re.compile(r"([)\]}])\s*U\s*(?=[(\[]|\\\{)"), r"\1\\cup "),
    (re.compile(r"(?<![\d./^_,}])(\d{1,9}) +(\d{1,9}) ?/ ?(\d{1,9})(?![\d.])"), r"\1\\frac{\2}{\3}"),  # 1 1/2
    (re.compile(rf"(?<![\d.,^_/}}]){_EXACT}(?: \d{{3}})+(?!\d)"), lambda found: found[0].replace(" ", "")),
    (re.compile(r" +"), " "),
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BOLD = re.compile(r"\s*\*\*([^*]+)\*\*\.?\s*")
_COUNTED = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_GROUPED = re.compile(rf"(?<![\d.,]){_EXACT}(?:,\d{{3}})+(?!\d|,\d)")


def spelled(text: str) -> str:
    r"""Return a text as plain LaTeX, with one spelling for each sign.

    >>> spelled(r"$\dfrac{1}{2}\,\times\,π$."), spelled("2√6 ≤ x²"), spelled(r"\left(–3, ½\right]")
    ('\\frac{1}{2} * \\pi', '2\\sqrt{6} \\leq x^{2}', '(-3, \\frac{1}{2}]')
    """
    text = bold[1] if (bold := _BOLD.fullmatch(text)) else text
    text = _without_dollars(_latin(text))
    for pattern, undecorated in _PLAIN:
        text = pattern.sub(undecorated, text)
    text = _COMMAND.sub(_renamed, text)
    for pattern, replacement in _THEN:
        text = pattern.sub(replacement, text)
    text = _unwrapped(text)
    word = re.sub(r"\\text ?\{ ?(\w+) ?\}", r"\1", text).lower()
    return str(_COUNTED.index(word)) if word in _COUNTED else _ungrouped(text)


def squeezed(text: str) -> str:
    """Return plain LaTeX without spaces and needless braces: 1 4 is not 14, and a b is ab.

    >>> squeezed("x^{2} + 1 4")
    'x^2+1 4'
    """
    text = re.sub(r"\\text ?\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"([_^]|\\pmod ?)\{ ?(\w) ?\}", r"\1\2", re.sub(" +", " ", text))
    return re.sub(r"(?<!\d) | (?!\d)", "", text).strip()


def _latin(text: str) -> str:
    """Return a text with signs outside ASCII replaced by LaTeX."""
    if text.isascii():
        return text
    for signs, mark in ((_RAISED, "^"), (_LOWERED, "_")):
        runs = re.compile(f"[{''.join(signs)}]+")
        text = runs.sub(lambda run, s=signs, m=mark: f"{m}{{{''.join(map(s.get, run[0]))}}}", text)  # type: ignore[misc]
    text = re.sub("(?:\\d\u0305)+", lambda run: f"\\overline{{{run[0].replace(chr(0x305), '')}}}", text)
    text = "".join(_CHARS.get(char) or _undecorated(char) for char in text)
    return re.sub(r"(\\sqrt(?:\[\d\])?)\s*(\d+(?:\.\d+)?)", r"\1{\2}", text)


def _undecorated(char: str) -> str:
    if char.isascii() or char in _CHARS:
        return "" if char in _CHARS else char
    undecorated = unicodedata.normalize("NFKC", char)
    above, slash, below = undecorated.partition("\u2044")
    return f"\\frac{{{above}}}{{{below}}}" if slash and above and below else undecorated


def _without_dollars(text: str) -> str:
    """Return a text without what delimits mathematics: brackets, paired dollars (a currency's have no partner)."""
    text = re.sub(r"\\[()\[\]]", " ", text.replace(r"\\", "\0")).replace("\0", r"\\").replace("$$", "$")
    signs = [found.end() for found in re.finditer(r"(?<!\\)\$", text)]
    if signs and len(signs) % 2 == 0 and not any(text[end : end + 1].isdigit() for end in signs[1::2]):
        text = re.sub(r"(?<!\\)\$", " ", text)
    return re.sub(r"(?<!\\)\$", r"\\$", text)


def _renamed(found: re.Match[str]) -> str:
    name = _NAME.get(found[1], found[1])
    return _SIGNS.get(name, f"\\{name}{' ' if found.string[found.end() : found.end() + 1].isalnum() else ''}")


def _unwrapped(text: str) -> str:
    """Return an answer without what is put around the whole of it, and without a full stop."""
    for _ in range(6):
        before = text
        text = text.strip(' "`')
        if (found := _BOX.match(text)) and _closing(text, found.end()) == len(text) - 1:
            text = text[found.end() : -1]
        text = re.sub(r"(?<![\\.])\.$", "", text)
        if text == before:
            break
    return text


def _closing(text: str, index: int) -> int:
    """Return the index of the brace that closes the group whose inside begins at ``index``; -1 if none does."""
    depth = 1
    for place in range(index, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    return -1


def _ungrouped(text: str) -> str:
    """Return a text without commas between thousands; in brackets only where other commas have a space behind."""
    spaced = re.search(r",\s|;", text) is not None

    def undecorated(found: re.Match[str]) -> str:
        before = text[: found.start()]
        inside = sum(map(before.count, "([{")) > sum(map(before.count, ")]}"))
        return found[0] if inside and not spaced else found[0].replace(",", "")

    return _GROUPED.sub(undecorated, text)
