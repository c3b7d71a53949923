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
    tried = 0
    for number, each in enumerate(doctest.DocTestFinder().find(import_module(name))):
        (folder := tmp_path / str(number)).mkdir()
        monkeypatch.chdir(folder)  # some write files
        found = doctest.DocTestRunner().run(each)
        assert found.failed == 0
        tried += found.attempted
    assert tried > 0


def test_there_are_examples():
    assert {"ddmlp.nn.reference", "ddmlp.api.fit", "ddmlp.sklearn"} <= set(WITH_EXAMPLES)
