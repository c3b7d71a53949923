"""A package of kernels, for the tests of the compiler and of its cache."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddmlp.nn import compiled
from tests.support.kernels import SOURCES, Kernels


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernels]:
    """A package of kernels that are not compiled yet, with an empty cache."""
    found = Kernels(tmp_path)
    monkeypatch.syspath_prepend(found.sources)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(compiled, "announce", found.announced.append)
    monkeypatch.setenv("DDMLP_CACHE", str(found.cache))
    yield found
    for name in SOURCES:
        sys.modules.pop(name, None)
