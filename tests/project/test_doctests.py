"""The examples in docstrings run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "ddmlp").rglob("*.py"))
    if any(">>> " in line and "+SKIP" not in line for line in path.read_text().splitlines())
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_simple(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # some write files
    failed, tried = doctest.testmod(import_module(name))
    assert tried > 0
    assert failed == 0


def test_there_are_examples():
    assert {"ddmlp.nn.reference", "ddmlp.api.fit", "ddmlp.sklearn"} <= set(WITH_EXAMPLES)
