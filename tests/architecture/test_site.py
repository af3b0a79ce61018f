"""The documentation site builds with every link whole, and loads nothing from another host."""

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOREIGN = re.compile(r"^\s*(?:[a-z]+:)?//", re.IGNORECASE)
# What a browser fetches by itself. An ordinary link (a href=…), to a paper or a repository, may lead anywhere.
FETCHED = {
    **dict.fromkeys(
        ["script", "img", "iframe", "source", "video", "audio", "embed", "track", "input"], ("src", "srcset")
    ),
    "link": ("href",),
    "object": ("data",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
NOT_FETCHED = {"canonical", "alternate", "prev", "next", "author", "license"}  # kinds of link that only name a page


class Assets(HTMLParser):
    """Collects the addresses that a page makes a browser fetch."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "link" and set((values.get("rel") or "").split()) <= NOT_FETCHED:
            return
        for name in FETCHED.get(tag, ()):
            self.addresses += [part.split()[0] for part in (values.get(name) or "").split(",") if part.strip()]
        self.addresses += urls(values.get("style") or "")


def urls(style):
    return re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""", style)


def foreign_assets(name, text):
    """Return the addresses on other hosts that a page, a style sheet or a script of the site would fetch."""
    if name.endswith((".html", ".svg")):
        assets = Assets()
        assets.feed(text)
        inside = urls("".join(re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)))
        return [a for a in assets.addresses + inside if FOREIGN.match(a)]
    if name.endswith(".css"):
        return [a for a in urls(text) if FOREIGN.match(a)]
    return []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/x.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="//fonts.example/css">'),
        ("a.html", '<link rel="preconnect" href="https://fonts.example">'),
        ("a.html", '<img srcset="a.png 1x, https://img.example/a.png 2x">'),
        ("a.html", '<p style="background: url(https://img.example/b.png)">'),
        ("a.html", '<style>@import "https://fonts.example/css";</style>'),
        ("a.css", "@font-face {src: url('http://fonts.example/f.woff2')}"),
    ],
)
def test_foreign_assets_are_seen(name, text):
    assert foreign_assets(name, text)


@pytest.mark.parametrize(
    "text",
    ['<a href="https://arxiv.org/abs/2502.09992">', '<img src="images/a.gif">', '<link rel="icon" href="a.png">'],
)
def test_links_in_text_and_files_of_the_site_are_allowed(text):
    assert not foreign_assets("a.html", text)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    mkdocs = ROOT / ".venv-docs/bin/mkdocs"
    mkdocs = os.environ.get("UNMASK_MKDOCS") or (str(mkdocs) if mkdocs.exists() else shutil.which("mkdocs"))
    if mkdocs is None:
        pytest.skip("mkdocs is not installed; 'make docs' installs it into .venv-docs")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run([mkdocs, "build", "--strict", "-d", folder], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-4000:]
    return folder


def test_site_fetches_nothing_from_other_hosts(site):
    pages = [path for path in site.rglob("*") if path.suffix in (".html", ".css", ".svg")]
    assert len(pages) > 50
    found = {str(p.relative_to(site)): foreign_assets(p.name, p.read_text()) for p in pages}
    assert not {name: addresses for name, addresses in found.items() if addresses}


def test_site_has_a_page_for_each_package_and_lists_its_pages(site):
    packages = {p.parent.name for p in (ROOT / "src/unmask").glob("*/__init__.py")} - {"cli", "assets"}
    assert {f"unmask.{name}" for name in packages} <= {p.stem for p in (site / "api").glob("*.html")}
    index = (site / "llms.txt").read_text()
    pages = [p.relative_to(site) for folder in ("api", "models", "moving") for p in (site / folder).glob("*.html")]
    assert not [page for page in pages if f"({page})" not in index]
    assert (site / "search/search_index.js").exists()  # what search reads where pages are opened as files


def test_what_scripts_of_the_theme_would_fetch_is_not_used(site):
    """The theme's script fetches a library for Mermaid pictures and facts of a repository, where a page has them."""
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert 'class="mermaid"' not in text, page
        assert 'data-md-component="source"' not in text, page
