"""A hook of MkDocs: pages of the site that are not files of docs/, and links to files of the repository.

A page links to a file of the repository by its relative path, which works on GitHub. The site has a page for each such
file, at repository/PATH: a Markdown page as it is, any other file as its text. No link needs a network.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import ddmlp

ROOT = Path(__file__).parents[1]
PREFIX = "repository/"
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")
LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "sh", ".json": "json", ".yml": "yaml"}
NOTEBOOK = ".ipynb"
RECORDS = ("chaos.md",)  # tables of results, which name everything: found last
HIDDEN = "---\nsearch: {exclude: true}\n---\n\n"  # a source file would be found before what is said of it


def place(page: str) -> str:
    """The path in the repository of what the site has at `page`."""
    if page == "index.md":
        return "README.md"
    path = page.removeprefix(PREFIX) if page.startswith(PREFIX) else f"docs/{page}"
    return path.removesuffix(".md") if path.endswith(f"{NOTEBOOK}.md") else path


def target(page: str, link: str) -> str:
    """The path in the repository that a link of a page leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(place(page)), link))


def site_path(path: str) -> str:
    """Where the site has a file of the repository."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return PREFIX + (path if path.endswith(".md") else f"{path}.md")


def text(path: str) -> str:
    """The page of a file of the repository."""
    content = (ROOT / path).read_text()
    if path.endswith(".md"):
        return content
    if path.endswith(NOTEBOOK):
        return notebook(json.loads(content))
    return f"{HIDDEN}# {path}\n\n````{LANGUAGES.get(Path(path).suffix, 'text')}\n{content.rstrip()}\n````\n"


def notebook(content: dict[str, Any]) -> str:
    """The cells of a notebook as Markdown. Formulas are shown as LaTeX, because what draws them needs a network."""
    texts = []
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            texts.append(f"````python\n{source}\n````")
        else:
            source = re.sub(r"\$\$(.*?)\$\$", r"````latex\n\1\n````", source, flags=re.DOTALL)
            texts.append(re.sub(r"\$([^$\n]+)\$", r"`\1`", source))
    return "\n\n".join(texts) + "\n"


def reference() -> str:
    """The page of all that `import ddmlp` offers, from its docstrings."""
    names = [name for name in ddmlp.__all__ if name != "errors"]
    order = sorted(names, key=lambda name: (name[0].isupper(), name != "fit"))  # functions first, of these fit
    blocks = [f"::: ddmlp.{name}\n" for name in [*order, "sklearn.DigitClassifier", "errors"]]
    return "\n".join(["# Reference\n", *blocks])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that the pages link to, and those that these link to."""
    pages = {"index.md": text("README.md")}
    open_ = [*pages, *(file.src_uri for file in files if file.src_uri.endswith(".md"))]
    while open_:
        page = open_.pop()
        content = pages[page] if page in pages else (ROOT / place(page)).read_text()
        for _, link, _ in LINK.findall(content):
            path = target(page, link)
            if not (ROOT / path).is_file():
                raise PluginError(f"{place(page)} links to {link}, which is not a file")
            found = site_path(path)
            if found.startswith(PREFIX) and found not in pages:
                pages[found] = text(path)
                if path.endswith((".md", NOTEBOOK)):
                    open_.append(found)
    for page, content in {**pages, "reference.md": reference()}.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs names them
    """Point the links of a page at the site's pages."""
    here = page.file.src_uri
    if here in RECORDS:
        page.meta["search"] = {"boost": 0.1}
    if here == "reference.md" or (here.startswith(PREFIX) and not (ROOT / place(here)).exists()):
        return markdown  # of docstrings; the text of a file

    def found(match: re.Match[str]) -> str:
        path = site_path(target(here, match[2]))
        return match[1] + posixpath.relpath(path, posixpath.dirname(here) or ".") + match[3]

    return LINK.sub(found, markdown)
