"""The architecture page and the package agree: the tree, the layers and the names."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ddmlp"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
MAX_LINES = 250
STOPS = ["data/convert.py", "plan/plan.py", "training/worker.py", "training/parameter_server.py", "runs/checkpoint.py"]


def block(section: str) -> list[str]:
    """The lines of a section's code block."""
    (found,) = re.findall(r"^```\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)
    return [line for line in found.splitlines() if line]


def shown() -> Iterator[tuple[str, str]]:
    """The paths in the tree, with a slash after those of folders, and the text for each."""
    folders: list[str] = []
    for line in block("The tree")[1:]:
        name, _, text = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        yield "".join(folders[:depth]) + name, text.strip()
        folders[depth:] = [name]


def exists() -> Iterator[str]:
    """The paths of the package itself. The tree has a single line for the static files."""
    for path in PACKAGE.rglob("*"):
        name = path.relative_to(PACKAGE).as_posix()
        if name == "serving/static" or (path / "__init__.py").exists():
            yield f"{name}/"
        elif path.is_file() and not {"__init__.py", "__pycache__", "static"}.intersection(PurePosixPath(name).parts):
            yield name


def test_simple():
    paths = [path for path, _ in shown()]
    assert set(paths) ^ set(exists()) == set()
    assert len(paths) == len(set(paths))
    assert all(text for _, text in shown())


def test_package_has_few_names():
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 20


@pytest.mark.parametrize("folder", ["ddmlp", "tools", "tests"])
def test_files_are_short(folder: str):
    lines = {path: len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert len(lines) > 10
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_five_stops():
    links = re.findall(r"^\d\. \[([\w/]+\.py)\]\(\.\./ddmlp/([\w/]+\.py)\)", PAGE, re.MULTILINE)
    assert links == [(stop, stop) for stop in STOPS]


def test_layers_are_enforced():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert block("Which way imports run") == [layer.replace("ddmlp.", "") for layer in layers]


def defined() -> Iterator[str]:
    """The classes of the package, their methods, its functions, and the names of its modules' constants."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield node.name
                yield from (f"{node.name}.{each.name}()" for each in node.body if isinstance(each, ast.FunctionDef))
            elif isinstance(node, ast.FunctionDef):
                yield f"{node.name}()"
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                yield ast.unparse(target)


def test_names_are_defined():
    named = set(re.findall(r"`((?:[A-Z]\w+\.)?[a-z]\w+\(\)|[A-Z]\w+)`", PAGE))
    assert len(named) > 20
    assert named <= set(defined())


def test_files_named_exist():
    files = re.findall(r"`((?:[a-z_]+/)*(?:[a-z_]+/|\w+\.py))`", PAGE)
    assert len(files) > 15
    for name in files:
        assert (PACKAGE / name).exists() or (ROOT / name).exists(), name


def test_packages_have_tests():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages <= {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
