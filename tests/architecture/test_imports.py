"""Imports: no circle, nothing of unmask imported inside functions but by commands, at most eight layers."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"


def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module by its dotted name."""
    found = {}
    for path in sorted((SOURCE / "unmask").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return found


def imported(node: ast.AST, known: set[str]) -> set[str]:
    """Return the modules of unmask that one statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names if alias.name in known}
    if not isinstance(node, ast.ImportFrom) or not node.module or not node.module.startswith("unmask"):
        return set()
    inner = {f"{node.module}.{alias.name}" for alias in node.names} & known
    return inner or {node.module} & known


def only_for_types(tree: ast.Module) -> set[int]:
    """Return the ids of nodes that are never run: those under ``if TYPE_CHECKING``."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    return {id(inner) for block in blocks for inner in ast.walk(block)}


def test_no_import_circle():
    trees = modules()
    arrows = {}
    for name, tree in trees.items():
        skipped = only_for_types(tree)
        arrows[name] = {m for n in ast.walk(tree) if id(n) not in skipped for m in imported(n, set(trees))} - {name}
    while free := {name for name, targets in arrows.items() if not targets & arrows.keys()}:
        for name in free:
            del arrows[name]
    cycles = {name: sorted(targets & arrows.keys()) for name, targets in arrows.items()}
    assert not cycles, f"these modules import one another, or what does: {cycles}"


def test_functions_import_nothing_of_unmask():
    trees = modules()
    found = []
    for name, tree in trees.items():
        if name.startswith("unmask.cli"):
            continue  # commands load their work when they are called
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        inside = [(function.name, node) for function in functions for node in ast.walk(function)]
        found += [f"{name}.{where}: {ast.unparse(node)}" for where, node in inside if imported(node, set(trees))]
    assert not found, "\n".join(found)


def test_at_most_eight_layers():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert [len(contract["layers"]) for contract in contracts if contract["type"] == "layers"] == [8]
