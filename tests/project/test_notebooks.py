"""The notebooks in examples/ run, from any folder, and are in the repository without their outputs."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from tests.support.notebooks import PATHS, plain

MAX_LINES = 24  # of a cell of code
EXECUTE = "from nbclient.cli import main; main()"  # what `jupyter execute` calls
Execute = Callable[[Path], nbformat.NotebookNode]


def cells(path: Path, kind: str = "code") -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


@pytest.fixture
def execute(data: Path, temporary: Path, tmp_path: Path) -> Execute:
    """Execute a copy of a notebook in a folder that is not the checkout; returns the copy with its outputs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"DDMLP_DATA": str(data), "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(temporary)}

    def run(path: Path) -> nbformat.NotebookNode:
        copy = shutil.copy(path, tmp_path)
        words = [sys.executable, "-c", EXECUTE, "--inplace", "--timeout=200", str(copy)]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        assert [each.name for each in tmp_path.iterdir()] == [path.name]
        assert [*temporary.glob("ddmlp-*")] == [], "the runs of the notebook are left behind"
        return nbformat.read(copy, as_version=4)

    return run


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_simple(path: Path):
    """As `python -m tests.support.notebooks` writes it: valid, and without outputs."""
    assert path.read_text() == plain(path.read_text())
    assert len(cells(path)) > 10


def test_outputs_are_removed():
    text = PATHS[0].read_text()
    notebook = nbformat.reads(text, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.execution_count, cell.metadata = 7, nbformat.from_dict({"collapsed": True})
    cell.outputs = [nbformat.v4.new_output("stream", text="seen")]
    executed = nbformat.writes(notebook)
    assert "seen" in executed
    assert plain(executed) == text
    with pytest.raises(nbformat.ValidationError):
        plain(text.replace('"source"', '"sauce"', 1))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_cells_are_short_and_check(path: Path):
    found = cells(path)
    assert max(len(cell.splitlines()) for cell in found) <= MAX_LINES
    checking = [cell for cell in found if any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell)))]
    assert len(checking) >= 0.6 * len(found)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_links(path: Path):
    links = re.findall(r"\]\((?!https:)([^)]+)\)", "\n".join(cells(path, "markdown")))
    assert links
    assert [link for link in links if not (path.parent / link).is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in PATHS if "workers" not in path.stem], ids=lambda path: path.stem)
def test_executes(path: Path, execute: Execute):
    assert drawn(execute(path)) >= 5


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_executes_with_ray(execute: Execute):
    (path,) = [path for path in PATHS if "workers" in path.stem]
    assert drawn(execute(path)) >= 4


def drawn(notebook: nbformat.NotebookNode) -> int:
    """The number of pictures in the outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)
