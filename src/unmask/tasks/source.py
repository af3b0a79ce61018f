"""Python in a text: what of it parses, which names it binds, where it begins and ends. Nothing is run here."""

import ast
import re
import textwrap
import warnings
from collections.abc import Collection, Iterator, Sequence

_MOST_PARSED, _LONGEST = 400, 50_000  # attempts, characters: a text without end is not searched without end
_STARTS = re.compile(
    r"(?:from|import|def|class|async def|if|try|with|for|while) |try:|@|[\"']{3}|"
    r"[A-Za-z_][\w.]*(?:\[.*\])?(?: *, *\w+)*(?: *:[^=\n]+)? *=(?!=)"
)
_OPENS = re.compile(r"(?:class|def|async|if|elif|else|for|while|with|try|except|finally)\b.*:\s*$")
_PROMPT = re.compile(r"\s*>>> (?:def|class|from|import|async def|@|\w+ *=) ?")
_BLOCKS = (ast.If, ast.Try, ast.With, ast.For, ast.While)
_SHOWS = ("print", "input", "exit", "quit", "unittest", "doctest", "pytest", "sys")


def parsed(source: str) -> ast.Module | None:
    """Return the syntax tree of a module; None for a text that is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "answer.py", "exec", dont_inherit=True)  # a return outside a function parses, too
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def bound(statements: Sequence[ast.stmt], *, imports: bool = False) -> set[str]:
    """Return the names that statements bind, by definition or assignment, also under ``if``, ``try`` and loops.

    Args:
        statements: statements of a module.
        imports: whether imported names are among them.

    Returns:
        The names, without attributes and items.
    """
    return {name for statement in statements for name in _bound(statement, imports=imports)}


def _bound(node: ast.stmt, *, imports: bool) -> Iterator[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            yield from ((name.asname or name.name).partition(".")[0] for name in node.names if imports)
        case ast.AnnAssign(value=None):
            return
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            yield from _stored(node)
        case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
            for inner in ast.iter_child_nodes(node):
                if isinstance(inner, ast.stmt):
                    yield from _bound(inner, imports=imports)
                elif isinstance(inner, ast.ExceptHandler):
                    yield from bound(inner.body, imports=imports)


def _stored(node: ast.AST) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}


def read(node: ast.AST) -> set[str]:
    """Return the names that a syntax tree reads."""
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and not isinstance(name.ctx, ast.Store)}


def binds(source: str, wanted: Collection[str], *, imports: bool = False) -> bool:
    """Look for wanted names in a source.

    Args:
        source: a text that may be Python.
        wanted: names, of which one is enough; none: any name will do.
        imports: whether an import counts as binding.

    Returns:
        Whether the source parses and binds such a name.
    """
    tree = parsed(source)
    names = bound(tree.body, imports=imports) if tree else set()
    return bool(names & set(wanted) if wanted else names)


def longest(text: str, wanted: Collection[str]) -> str:
    """Return the longest run of lines that parses and binds a wanted name; empty if there is none."""
    lines = text[:_LONGEST].split("\n")
    best, tries, until = "", _MOST_PARSED, 0
    for start, line in enumerate(lines):
        if start < until or not _STARTS.match(line):
            continue
        end = len(lines)
        while end > start and tries:
            tries -= 1
            source = "\n".join(lines[start:end])
            if parsed(source):
                break
            end = min(end - 1, start + _wrong_line(source))
        else:
            continue
        if binds(source, wanted) and len(source) > len(best):
            best, until = source, end
    return best


def unprompted(text: str) -> str:
    """Return what was typed at Python's prompt, without the prompts and what was printed; else the text as it is."""
    if not _PROMPT.match(text):
        return text
    return "\n".join(line[4:] for line in text.splitlines() if line.startswith((">>>", "...")))


def _wrong_line(source: str) -> int:
    """Return the line, from 0, on which a source stops being Python; its number of lines if all of it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "answer.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        return (error.lineno or 1) - 1
    except (ValueError, RecursionError, MemoryError, OverflowError):
        return 0
    return source.count("\n") + 1


def body(text: str) -> str:
    """Return the body of a function in a text: from its start or its first indented line, as far as it parses.

    A text that starts with an indented line ends at the first line that is not. Empty if there is no body.
    """
    lines = text[:_LONGEST].strip("\n").split("\n")
    indented = next((number for number, line in enumerate(lines) if line[:1].isspace() and line.strip()), 0)
    if any(map(_OPENS.match, lines[:indented])):  # of another function
        indented = 0
    for first in dict.fromkeys((0, indented)):
        rest = lines[first:]
        if not rest[0][:1].isspace():
            ends = [len(rest)]
        else:
            ends = [number for number, line in enumerate(rest) if line.strip() and not line[:1].isspace()][:5]
            ends.append(len(rest))
            is_body = {end: _is_body("\n".join(rest[:end])) for end in ends}
            ends.sort(key=lambda end: not is_body[end])  # noqa: B023  # sorted here, in this round
        found = _prefix(rest[: ends[0]])
        if found:
            return found
    return ""


def _prefix(lines: Sequence[str]) -> str:
    end, tries = len(lines), _MOST_PARSED
    while end > 0 and tries:
        tries -= 1
        source = "\n".join(lines[:end])
        if _is_body(source):
            return source
        end = min(end - 1, _wrong_line(_function(source)) - 1)
    return ""


def _is_body(text: str) -> bool:
    return bool(text.strip()) and len(text) <= _LONGEST and parsed(_function(text)) is not None


def _function(text: str) -> str:
    return f"def _():\n{as_body(text)}"


def as_body(code: str) -> str:
    """Return the body of a function indented, where its first line or every line had lost the indentation."""
    code = code.strip("\n").expandtabs(4)
    first, _, rest = code.partition("\n")
    if first[:1].isspace():
        return code
    lines = [line for line in rest.split("\n") if line.strip()]
    opens = first.rstrip().endswith(":")
    depth = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    if lines and depth >= (8 if opens and len(lines) == 1 else 4):
        return f"    {code}"
    return "\n".join(f"    {line}" for line in code.split("\n"))


def without_examples(source: str, wanted: Collection[str]) -> str:
    """Return a source without what is of no use after the wanted names: calls of them, assertions, stray words."""
    tree = parsed(source)
    if tree is None:
        return source
    last = max(
        (number for number, node in enumerate(tree.body) if bound([node], imports=True) & set(wanted)), default=-1
    )
    lines = source.split("\n")
    for number, node in enumerate(tree.body):
        is_dropped = _is_stray(node) or (0 <= last < number and _is_example(node, wanted))
        above = tree.body[number - 1].end_lineno or 0 if number else 0
        below = tree.body[number + 1].lineno if number + 1 < len(tree.body) else len(lines) + 1
        if is_dropped and above < node.lineno and (node.end_lineno or 0) < below:
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or 0) - node.lineno + 1)
    return "\n".join(lines)


def _is_stray(node: ast.stmt) -> bool:
    """Return whether a statement only names things, as a word of a sentence does."""
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    return isinstance(node, ast.Expr) and not any(
        isinstance(inner, (ast.Call, ast.Await, ast.NamedExpr)) for inner in ast.walk(node)
    )


def _is_example(node: ast.stmt, wanted: Collection[str]) -> bool:
    if isinstance(node, ast.While) and "input" in read(node):  # waits for input for ever
        return True
    if isinstance(node, (ast.Assert, ast.Expr, *_BLOCKS)) and not bound([node]) - {"result"}:
        return bool(read(node) & {*wanted, *_SHOWS, "__name__"})
    is_called = any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in {*wanted, "input"}
        for inner in ast.walk(node)
    )
    return isinstance(node, (ast.Assign, ast.AnnAssign)) and is_called


def dedented(text: str) -> Iterator[str]:
    """Yield the runs of indented lines, without their indentation: code as CommonMark knows it without a fence."""
    run: list[str] = []
    opens = False
    for line in [*text[:_LONGEST].split("\n"), "."]:
        if line[:1].isspace() or not line:
            run.append(line)
            continue
        if not opens and any(map(str.strip, run)):
            yield textwrap.dedent("\n".join(run))
        run, opens = [], _OPENS.match(line) is not None
