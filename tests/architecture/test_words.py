"""A word means one thing: names that the glossary gave up are not used again."""

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/unmask"
GIVEN_UP = {  # word -> what is written instead; see docs/glossary.md
    "part": "component, member or item",
    "parts": "components, or the thing's own name",
    "place": "source, column, path or index",
    "places": "sources, columns or positions",
    "notes": "memory, extra or remarks",
    "note": "memory, extra or remark",
    "asked": "queried",
    "asks": "queries",
    "at": "query_positions",
    "sureness": "score or confidence",
    "trust": "correctness",
    "reliability": "correctness",
    "settled": "is_context",
    "pieces": "chunks",
    "ranking": "scores",
    "plain": "defaults",
    "headless": "defaults",
    "unrefined": "defaults",
    "even": "row_groups",
    "room": "memory, space or canvas",
    "meter": "flops",
    "outline": "preflight",
    "spelling": "token_bytes or notation",
    "markup": "yaml",
    "quiet": "third_party_logging",
    "sources": "paths",
    "provenance": "environment",
}
WHOLE = {"at", "place", "places", "even", "plain", "pieces", "ranking", "note", "sources"}  # fine inside longer names
PUBLIC = {"decoding/state.py": {"at"}, "study/spec.py": {"room"}, "recipes/sections.py": {"sources"}}
"""Where a word is a public name: ``step.at``, the key ``room`` of a study's recipe, ``data.sources`` of any recipe."""


def names(tree: ast.Module) -> set[str]:
    """Return the names of classes, functions and fields."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            fields = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
            found |= {field.id for field in fields if isinstance(field, ast.Name)}
    return found


def words(name: str) -> set[str]:
    """Split a name into lower-case words."""
    return set(re.findall(r"[a-z]+", re.sub(r"([A-Z])", r"_\1", name).lower()))


def test_no_name_is_a_word_that_was_given_up():
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        where = str(path.relative_to(SOURCE))
        allowed = next((public for start, public in PUBLIC.items() if where.startswith(start)), set())
        for name in {path.stem, *names(ast.parse(path.read_text()))}:
            old = {name.strip("_").lower()} & GIVEN_UP.keys() | (words(name) & GIVEN_UP.keys()) - WHOLE
            found += [f"{where}: {name}: write {GIVEN_UP[word]}" for word in sorted(old - allowed)]
    assert not found, "\n".join(found)
