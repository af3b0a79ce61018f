r"""Compares how answers are judged here and elsewhere: gold answers, rewritten forms and near misses of each.

    python benchmarks/judging.py MATH500.jsonl GSM8K.jsonl --python OTHER/bin/python --out judging.json

Every form is made by a rule, so what it is worth is known: the answer as it is, five rewritten ones and five near
misses. The other scorers are lm-eval's for MATH (``hendrycks_math``, ``minerva_math``) and GSM8K (strict and flexible
filter) and math-verify alone; ``--python`` is an interpreter that has lm-eval, math-verify and antlr4-python3-runtime
4.11. A scorer that is not installed there is left out.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_SIGNS = {
    r"\pi": "π", r"\infty": "∞", r"\cup": "∪", r"\pm": "±", r"^\circ": "°", r"\in": "∈", "^2": "²", "^3": "³",
}  # fmt: skip


def math_forms(gold: str) -> Iterator[tuple[str, str, bool]]:
    """Yield (rule, text, whether it is equal) for a LaTeX answer."""
    number = re.fullmatch(r"-?\d+(?:\.\d+)?", gold) is not None
    wordy = "text" in gold or "mbox" in gold
    bare = re.sub(r"^(?:x|y)\s*(?:=|\\in)\s*", "", gold)
    single = not wordy and "," not in gold and "=" not in gold and "_" not in gold and "\\$" not in gold
    yield "as it is", gold, True
    layout = re.sub(r"\\[dt]?frac", r"\\dfrac", gold)
    if "\\left" not in gold:
        layout = re.sub(r"([(\[])", r"\\left\1 ", re.sub(r"([)\]])", r" \\right\1", layout))
    yield "layout", layout if layout != gold else f"\\displaystyle {gold}", True
    signs = re.sub(r"\\sqrt\s*\{?(\d+)\}?", r"√\1", re.sub(r"^-", "−", gold))
    for command, sign in _SIGNS.items():
        signs = re.sub(re.escape(command) + r"(?![A-Za-z{\d])\s*", sign, signs)
    yield "Unicode", signs, True
    yield "name", gold if "=" in gold or "\\in" in gold else f"x = {gold}", True
    if number:
        yield "unit", f"{gold} \\text{{ cm}}", True
        yield "value", f"\\frac{{{gold} \\cdot 6}}{{6}}", True
    else:
        yield "box", f"\\boxed{{{gold}}}", True
        value = single and not re.search(r"\\pm|circ|pmatrix|infty|\\%|\\frac\d|^\d+\\frac", gold)
        yield ("value", f"\\frac{{6({gold})}}{{6}}", True) if value else ("dollars", f"${gold}$", True)
    changed = re.sub(r"\d+(?!.*\d)", lambda found: str(int(found[0]) + 1), bare, flags=re.DOTALL)
    yield "last number", changed if changed != bare else f"{bare} + 1", False
    yield "or more", f"{gold} or more", False
    yield "tail", f"{gold} + \\sqrt(3)" if gold.endswith("0") else f"{gold}\\sqrt(3)", False  # 0 times it is 0
    yield "not", f"\\ne {gold}", False
    flipped = gold[1:] if gold.startswith("-") else f"-{gold}"
    yield ("sign", flipped, False) if number and gold != "0" else ("two", f"{gold} and 7^{{77}}", False)


def gsm8k_forms(gold: str) -> Iterator[tuple[str, str, bool]]:
    """Yield (rule, text, whether it is equal) for a whole number."""
    number = int(gold)
    yield "as it is", f"#### {gold}", True
    yield "commas", f"#### {number:,}", True
    yield "cents", f"#### {gold}.00", True
    yield "dollars", f"#### ${gold}", True
    yield "sentence", f"The answer is {gold}.", True
    yield "unit", f"The answer is {gold} apples.", True
    yield "off by one", f"#### {number + 1}", False
    yield "sign", f"#### {-number if number else 1}", False
    yield "half", f"#### {gold}.5", False
    yield "digit", f"#### {gold}0" if number else "#### 10", False
    yield "none", f"I have {gold} ideas but no answer, so 1 of {number + 1}.", False


def rows(path: str, forms: Callable[[str], Iterator[tuple[str, str, bool]]], size: int | None) -> list[Row]:
    """Read gold answers and make their forms."""
    out = []
    for line in Path(path).read_text(encoding="utf-8").splitlines()[:size]:
        gold = json.loads(line)["answer"].rpartition("####")[2].strip()
        gold = gold.replace(",", "") if forms is gsm8k_forms else gold
        out += [{"gold": gold, "rule": r, "text": text, "equal": equal} for r, text, equal in forms(gold)]
    return out


def ours(kind: str) -> Callable[[str, str], bool]:
    """Return this library's judge of (gold, text)."""
    if kind == "math":
        return importlib.import_module("unmask.tasks.equal").is_equal
    from unmask.tasks import GSM8K, Problem

    task = GSM8K()
    return lambda gold, text: task.is_right(text, Problem(prompt="", solution=gold, answer=gold, source=""))


def theirs(kind: str) -> Iterator[tuple[str, Callable[[str, str], bool]]]:
    """Yield the scorers that are installed here, by name."""
    if kind == "gsm8k":
        with contextlib.suppress(ImportError):
            yield from _lm_eval_gsm8k()
        return
    with contextlib.suppress(ImportError):
        hendrycks = _lm_eval_module("hendrycks_math")
        yield "lm-eval hendrycks_math", lambda gold, text: hendrycks.is_equiv(text, gold)
    with contextlib.suppress(ImportError, AssertionError):
        minerva = _lm_eval_module("minerva_math")
        plain = minerva.normalize_final_answer
        yield "lm-eval minerva_math", lambda gold, text: bool(minerva.is_equiv(plain(text), plain(gold)))
    with contextlib.suppress(ImportError):
        verify = importlib.import_module("math_verify")
        yield (
            "math-verify",
            lambda gold, text: bool(verify.verify(verify.parse(f"${gold}$"), verify.parse(f"${text}$"))),
        )


def _lm_eval_module(task: str) -> Any:
    """Load a task's own file, without what the harness needs for models."""
    file = Path(importlib.import_module("lm_eval").__file__ or "").parent / "tasks" / task / "utils.py"
    spec = importlib.util.spec_from_file_location(task, file)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def _lm_eval_gsm8k() -> Iterator[tuple[str, Callable[[str, str], bool]]]:
    """Apply the filters and the exact match that lm-eval's gsm8k.yaml describes."""
    package = importlib.import_module("lm_eval")
    yaml = importlib.import_module("yaml")
    task = yaml.safe_load((Path(package.__file__).parent / "tasks/gsm8k/gsm8k.yaml").read_text(encoding="utf-8"))
    ignored = task["metric_list"][0]["regexes_to_ignore"]

    def plain(text: str) -> str:
        for pattern in ignored:
            text = re.sub(pattern, "", text)
        return text.lower()

    for described in task["filter_list"]:
        settings = described["filter"][0]

        def judge(gold: str, text: str, settings: dict[str, Any] = settings) -> bool:
            found = re.findall(settings["regex_pattern"], text)
            match = found[settings.get("group_select", 0)] if found else "[invalid]"
            match = next(filter(None, match)) if isinstance(match, tuple) else match
            return plain(match.strip()) == plain(f"#### {gold}")

        yield f"lm-eval {described['name']}", judge


def judged(kind: str, pairs: list[Row]) -> dict[str, list[bool]]:
    """Collect the verdicts of the scorers that are installed here."""
    out = {}
    for name, judge in theirs(kind):
        verdicts = []
        for pair in pairs:
            try:
                verdicts.append(judge(pair["gold"], pair["text"]))
            except Exception:  # a scorer that trips scores nothing
                verdicts.append(False)
        out[name] = verdicts
    return out


def summary(pairs: list[Row], verdicts: dict[str, list[bool]]) -> dict[str, Any]:
    """Count each scorer's mistakes, and list its disagreements with ours by rule."""
    mistakes: dict[str, dict[str, Any]] = {name: defaultdict(lambda: {"count": 0}) for name in verdicts}
    asked: dict[str, int] = defaultdict(int)
    for i, pair in enumerate(pairs):
        key = f"{pair['rule']} ({'equal' if pair['equal'] else 'not equal'})"
        asked[key] += 1
        for name, said in verdicts.items():
            if said[i] != pair["equal"]:
                found = mistakes[name][key]
                found["count"] += 1
                found.setdefault("examples", [])
                if len(found["examples"]) < 4:
                    found["examples"].append([pair["gold"], pair["text"]])
    return {"asked": dict(asked), "mistakes": {name: dict(by_rule) for name, by_rule in mistakes.items()}}


def main() -> None:
    """Judge and write the report; with ``--score`` only ask the scorers of this interpreter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("math", nargs="?")
    parser.add_argument("gsm8k", nargs="?")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--score", choices=["math", "gsm8k", "versions"])
    chosen = parser.parse_args()
    if chosen.score:
        print(json.dumps(_versions() if chosen.score == "versions" else judged(chosen.score, json.load(sys.stdin))))
        return
    report: dict[str, Any] = {"versions": _other(chosen.python, "versions", [])}
    for kind, path, forms, size in (("math", chosen.math, math_forms, None), ("gsm8k", chosen.gsm8k, gsm8k_forms, 200)):
        pairs = rows(path, forms, size)
        judge = ours(kind)
        verdicts = {"unmask": [judge(pair["gold"], pair["text"]) for pair in pairs]}
        verdicts |= _other(chosen.python, kind, pairs)
        report[kind] = summary(pairs, verdicts)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n", encoding="utf-8")


def _other(python: str, kind: str, pairs: list[Row]) -> Any:
    command = [python, __file__, "--score", kind]
    done = subprocess.run(command, input=json.dumps(pairs), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _versions() -> dict[str, str]:
    found = {}
    for name in ("lm_eval", "math-verify", "latex2sympy2_extended", "sympy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


if __name__ == "__main__":
    main()
