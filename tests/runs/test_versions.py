"""The versions of the software that computes a result."""

import platform

import numba
import numpy as np
import pytest

import ddmlp
from ddmlp.runs import versions as module
from ddmlp.runs.versions import versions


def test_simple():
    found = versions()
    assert (found["ddmlp"], found["numpy"], found["numba"]) == (ddmlp.__version__, np.__version__, numba.__version__)
    assert found["processor"].split()[0] == platform.machine()
    assert len(found["processor"].split()) == 2
    assert found.keys() == {"ddmlp", "python", "processor", "numpy", "numba", "llvmlite", "pyarrow", "ray"}


def test_without_ray(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "ray" else True)
    assert set(versions()) - set(versions.__wrapped__()) == {"ray"}
