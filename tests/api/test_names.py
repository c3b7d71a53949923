"""The public names: they are there, described, and load nothing before they are used."""

import importlib
import subprocess
import sys

import pytest

import ddmlp

HEAVY = ("numpy", "pyarrow", "ray", "numba", "rich", "sklearn")


def test_simple():
    assert ddmlp.__all__ == sorted(ddmlp.__all__)
    assert set(ddmlp.__all__) == set(ddmlp._MODULES) - {"sklearn"}  # without the extra it cannot be imported
    assert {*ddmlp.__all__, "__version__"} <= set(dir(ddmlp))
    for name in ddmlp.__all__:
        assert getattr(ddmlp, name).__doc__, name


def test_unknown():
    with pytest.raises(AttributeError, match="'nonsense'"):
        _ = ddmlp.nonsense


def test_star():
    found: dict[str, object] = {}
    exec("from ddmlp import *", found)
    assert set(ddmlp.__all__) <= set(found)


def test_import_is_light():
    code = f"import sys, ddmlp; dir(ddmlp); ddmlp.errors; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["verify", "evaluate", "replay"])
def test_function_not_command(name: str):
    """A command is a module of the same name on this package's path."""
    assert importlib.import_module(f"ddmlp.cli.{name}").main
    assert getattr(ddmlp, name).__module__.startswith("ddmlp.api.")
