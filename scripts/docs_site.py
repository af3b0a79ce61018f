"""Hooks of the documentation site (mkdocs.yml): pages that are not in docs/, links to them, the API and llms.txt.

Everything is read from the tree: a package, a page or a file that is added, moved or removed needs no change here.
"""

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from griffe import Extension, Object
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/unmask"
# Pages that stand elsewhere in the repository, and their place on the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code_of_conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASE.md": "release.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/questions/README.md": "questions.md",
}
LINK = re.compile(r"(!?\[([^\]]*)\]\()([^)#\s]*)((?:#[^)\s]*)?\))")
DOCTEST = re.compile(r"^>>> .*\n?(?:.+\n?)*", re.MULTILINE)


class FencedExamples(Extension):
    """Shows the examples in docstrings (``>>> …``) as blocks of code."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Put a fence around each example of an object's docstring."""
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", obj.docstring.value)


def on_config(config: Any) -> Any:
    """Fill the navigation's API section with a page for each public package."""
    for entry in config.nav:
        if "API" in entry:
            entry["API"] = [{name: f"api/{name}.md"} for name in _packages()]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of PAGES, the API pages, and files outside docs/ that some page links to."""
    for source, uri in PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / source).read_text()))
    for name, folder in _packages().items():
        files.append(File.generated(config, f"api/{name}.md", content=_api_page(name, folder)))
    for source in sorted(set(_linked_files(files))):
        files.append(File.generated(config, f"files/{source}", abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links between files of the repository to where these stand on the site; a folder's link becomes text."""
    source = _source_of(page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)

    def place(match: re.Match[str]) -> str:
        target = _in_repository(source, match[3])
        if target is None:
            return match[0]
        if (ROOT / target).is_dir():
            return match[2]
        return match[1] + posixpath.relpath(_uri_of(target), here or ".") + match[4]

    return LINK.sub(place, markdown)


def on_nav(nav: Any, config: Any, files: Files) -> Any:
    """Write llms.txt: every page of the navigation with its title and what it begins with."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}"]
    for section in nav.items:
        pages = [section] if section.is_page else section.children
        lines += ["", f"## {section.title if section.is_section else 'Start'}", ""]
        for page in pages:
            title = page.title or _title(page.file.content_string)
            lines.append(f"- [{title}]({page.file.dest_uri}): {_summary(page.file.content_string)}")
    files.append(File.generated(config, "llms.txt", content="\n".join(lines) + "\n"))
    return nav


def _packages() -> dict[str, Path]:
    folders = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
    names = {".".join(folder.relative_to(PACKAGE.parent).parts): folder for folder in folders}
    return {name: folder for name, folder in names.items() if not re.search(r"\._|\.assets\b|\.cli\b", name)}


def _api_page(name: str, folder: Path) -> str:
    text = (folder / "__init__.py").read_text()
    doc = ast.get_docstring(ast.parse(text)) or ""
    modules = [p.stem for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")]
    parts = [f"# {name}", doc, *(f"::: {name}.{module}" for module in modules)]
    exports = _exports(name, text)
    if exports:
        parts.insert(2, f"Import from `{name}`: " + ", ".join(_reference(*e) for e in exports) + ".")
    return "\n\n".join(parts) + "\n"


def _exports(name: str, text: str) -> list[tuple[str, str]]:
    """Return what an ``__init__`` imports from its own modules: short name, full name."""
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{name}."):
            found += [(a.asname or a.name, f"{node.module}.{a.name}") for a in node.names if not a.name.startswith("_")]
    return sorted(found)


def _reference(short: str, full: str) -> str:
    return f'<autoref identifier="{full}" optional><code>{short}</code></autoref>'


def _source_of(uri: str) -> str:
    return next((source for source, target in PAGES.items() if target == uri), f"docs/{uri}")


def _uri_of(target: str) -> str:
    if target in PAGES:
        return PAGES[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"files/{target}"


def _in_repository(source: str, link: str) -> str | None:
    """Return the path in the repository of the file or folder that a link names; None if there is none."""
    if not link or ":" in link:
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return path if not path.startswith("..") and (ROOT / path).exists() else None


def _linked_files(files: Files) -> Iterator[str]:
    for file in files.documentation_pages():
        for match in LINK.finditer(file.content_string):
            target = _in_repository(_source_of(file.src_uri), match[3])
            if target and (ROOT / target).is_file() and target not in PAGES and not target.startswith("docs/"):
                yield target


def _title(text: str) -> str:
    return next((line[2:] for line in text.splitlines() if line.startswith("# ")), "")


def _summary(text: str) -> str:
    """Return the first sentence of a page's first paragraph of prose."""
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    prose = next((p for p in paragraphs if p and p[0] not in "#![|`<:-"), "")
    return re.split(r"(?<=[.!?])\s", LINK.sub(lambda m: m[2], prose))[0].rstrip(":")
