"""Find the code of reference solutions wrapped in many forms, and compare with the sanitiser of evalplus.

    python benchmarks/code_forms.py HumanEval.jsonl.gz mbpp.jsonl --evalplus /path/to/its/venv/bin/python

A form is found if the definition that was wrapped comes back, as a syntax tree. Prints how many are, form by form.
"""

import argparse
import ast
import json
import subprocess
import textwrap
from collections import Counter
from pathlib import Path

from unmask.data.readers import rows_of
from unmask.tasks.code import code_of

SANITISE = """
import json, sys
from evalplus.sanitize import sanitize
for line in sys.stdin:
    text, name = json.loads(line)
    try:
        code = sanitize(text, entrypoint=name)
    except Exception as error:
        code = f"# {error!r}"
    print(json.dumps(code), flush=True)
"""
DRAFT = "def {name}(*args):\n    return None\n"
FORMS = {
    "bare": "{code}\n",
    "fence": "```python\n{code}\n```",
    "fence, prose around": "Sure! Here it is:\n\n```python\n{code}\n```\n\nThis solves it.",
    "fence without a language": "```\n{code}\n```",
    "fence, capital": "```Python\n{code}\n```",
    "tildes": "~~~python\n{code}\n~~~",
    "four backticks": "````python\n{code}\n````",
    "list item": "1. Write this:\n\n   ```python\n{indented}\n   ```\n2. Run it.",
    "quotation": "> ```python\n{quoted}\n> ```",
    "only opened": "Here:\n```python\n{code}",
    "only opened, then prose": "```python\n{code}\n\nThis solves the task.",
    "only closed": "{code}\n```\nThis solves the task.",
    "closed on the last line": "```python\n{code}```\nThis solves the task.",
    "prose behind": "{code}\n\nExplanation:\nIt does what it says.",
    "bold behind": "{code}\n\n**Note** that it is slow.",
    "prose before": "Here is the function you asked for:\n\n{code}\n",
    "indented as code": "So:\n\n{deep}\n\nDone.",
    "next question": "{code}\n\nQuestion: write another function.",
    "draft first": "```python\n{draft}```\nNo. Rather:\n```python\n{code}\n```",
    "draft in the thinking": "<think>\n```python\n{draft}```\n</think>\n```python\n{code}\n```",
    "only thought": "<think>\n```python\n{code}\n```",
    "example behind": "```python\n{code}\n```\nCall it:\n```python\nprint({name}())\n```",
    "assertion behind": "```python\n{code}\n\nassert {name}() == 1\n```",
    "shell before": "```bash\npip install nothing\n```\n```python\n{code}\n```",
    "carriage returns": "```python\r\n{returns}\r\n```",
}
NEVER = ("only thought",)  # finding it is wrong


def references(path: str) -> list[tuple[str, str]]:
    """Return code and name of each reference in a file of HumanEval or MBPP."""
    found = []
    for _, row in rows_of(path, "test"):
        if "canonical_solution" in row:
            found.append((row["prompt"] + row["canonical_solution"], row["entry_point"]))
        else:
            code = row["code"].replace("\r\n", "\n")
            called = row["test_list"][0].replace("(", " ").split()
            defined = [node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
            found += [(code, name) for name in defined if name in called][:1]
    return [(code.strip("\n"), name) for code, name in found]


def wrapped(form: str, code: str, name: str) -> str:
    """Put a reference into a form."""
    return FORMS[form].format(
        code=code, name=name, draft=DRAFT.format(name=name), indented=textwrap.indent(code, "   "),
        quoted=textwrap.indent(code, "> ", lambda _: True), deep=textwrap.indent(code, "    "),
        returns=code.replace("\n", "\r\n"),
    )  # fmt: skip


def is_found(source: str, code: str, name: str) -> bool:
    """Say whether the last definition of a name is the reference's."""
    try:
        one, other = (
            [ast.dump(node) for node in ast.parse(text).body if getattr(node, "name", "") == name][-1]
            for text in (source, code)
        )
    except (SyntaxError, ValueError, IndexError):
        return False
    return one == other


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="of HumanEval or MBPP, as published")
    parser.add_argument("--evalplus", help="a Python that can import evalplus")
    parser.add_argument("--every", type=int, default=1, help="take one reference in so many")
    given = parser.parse_args()
    taken = [reference for path in given.files for reference in references(str(Path(path)))][:: given.every]
    cases = [(form, wrapped(form, code, name), code, name) for form in FORMS for code, name in taken]
    ours, theirs = Counter[str](), Counter[str]()
    for form, text, code, name in cases:
        ours[form] += is_found(code_of(text, [name]), code, name)
    if given.evalplus:
        asked = "".join(json.dumps([text, name]) + "\n" for _, text, _, name in cases)
        out = subprocess.run([given.evalplus, "-c", SANITISE], input=asked, capture_output=True, text=True, check=True)
        for (form, _, code, name), line in zip(cases, out.stdout.splitlines(), strict=True):
            theirs[form] += is_found(json.loads(line), code, name)
    print(f"{len(taken)} references\n{'form':28} unmask evalplus")
    for form in FORMS:
        wrong = "  (none is right)" if form in NEVER else ""
        print(f"{form:28} {ours[form]:6} {theirs[form] if given.evalplus else '-':>8}{wrong}")


if __name__ == "__main__":
    main()
