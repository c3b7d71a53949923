"""The package includes its files that are not modules."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_simple():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["ddmlp"]
    package = ROOT / "ddmlp"
    covered = {path for pattern in patterns for path in package.glob(pattern)}
    others = {path for path in package.rglob("*.*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert others - covered == set()
    assert {path.name for path in covered} >= {"py.typed", "report.html.j2", "report.css", "index.html"}
