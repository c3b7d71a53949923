"""The site of the documentation: each link leads somewhere, and no page needs a network."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = "repository/examples/notebooks/1-the-note.ipynb.html"


@pytest.fixture
def hook() -> ModuleType:
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs" / "site_pages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("data.md", "streams.md", "streams.md"),
        ("data.md", "../ddmlp/config.py", "repository/ddmlp/config.py.md"),
        ("index.md", "docs/data.md", "data.md"),
        ("index.md", "CONTRIBUTING.md", "repository/CONTRIBUTING.md"),
        ("benchmarks/README.md", "../../README.md", "index.md"),
        ("repository/cluster/README.md", "../docs/images/live.png", "images/live.png"),
        ("repository/examples/notebooks/1.ipynb.md", "2.ipynb", "repository/examples/notebooks/2.ipynb.md"),
    ],
)
def test_simple(hook: ModuleType, page: str, link: str, expected: str):
    assert hook.site_path(hook.target(page, link)) == expected


def build(folder: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    words = ["-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", str(folder)]
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.slow
def test_needs_no_network(tmp_path: Path):
    done = build(tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path / "site").as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert {"index.html", "reference.html", "repository/CONTRIBUTING.html", NOTEBOOK} <= pages.keys()
    for name, page in pages.items():
        assert re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?https?:[^>]*", page) == [], name
    index = json.loads((tmp_path / "site" / "search" / "search_index.json").read_text())["docs"]
    assert len({entry["location"].partition("#")[0] for entry in index}) > 10
    assert not [entry for entry in index if entry["location"].startswith("repository/ddmlp/")]
    assert {entry["location"].partition("#")[0] for entry in index if entry.get("boost", 1) < 1} == {"chaos.html"}


def test_reference_names_each_once(hook: ModuleType):
    names = re.findall(r"^::: (\S+)$", hook.reference(), re.MULTILINE)
    assert names[0] == "ddmlp.fit"
    assert len(names) == len(set(names)) >= 19


def test_notebook(hook: ModuleType):
    """Of each kind of cell, and of formulas within and between lines, which Markdown would change."""
    formula = r"$$y_1 = \frac{1}{2}$$"
    cells = [("markdown", ["# One\n", "$x_1$ is\n", "\n", formula]), ("code", ["a = 1\n", "b = 2"])]
    found = hook.notebook({"cells": [{"cell_type": kind, "source": source} for kind, source in cells]})
    latex = formula.strip("$")
    assert found == f"# One\n`x_1` is\n\n````latex\n{latex}\n````\n\n````python\na = 1\nb = 2\n````\n"


def test_not_in_the_repository(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mkdocs.exceptions import PluginError
    from mkdocs.structure.files import Files

    monkeypatch.setattr(hook, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text("[one](ddmlp/absent.py)")
    with pytest.raises(PluginError, match=r"README\.md .*ddmlp/absent\.py"):
        hook.on_files(Files([]), None)


@pytest.mark.slow
@pytest.mark.parametrize("link", ["absent.md", "data.md#absent"])
def test_broken_link(link: str, tmp_path: Path):
    """Each is an error by what mkdocs.yml says."""
    (docs := tmp_path / "docs").mkdir()
    (docs / "index.md").write_text(f"[one]({link})")
    (docs / "data.md").write_text("# Data")
    settings = {"INHERIT": str(ROOT / "mkdocs.yml"), "docs_dir": str(docs), "hooks": [], "nav": ["index.md", "data.md"]}
    (tmp_path / "mkdocs.yml").write_text(json.dumps(settings))
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode == 1
    assert link in done.stdout + done.stderr
