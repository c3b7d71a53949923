"""The registry of sources: URIs of streams, and new kinds of streams."""

import subprocess
import sys
import types
from contextlib import closing

import pytest

from ddmlp.data import sources
from ddmlp.data.sources import Kind, is_source, open_source
from ddmlp.errors import ConfigError


def test_simple():
    assert [is_source(uri) for uri in ("-", "tcp://host:1", "tcp://")] == [True] * 3
    assert [is_source(uri) for uri in ("", "data", "--", "./-", "a/tcp://b", "http://host:1", "/x")] == [False] * 7


@pytest.mark.parametrize(
    "uri",
    [
        *("", "data", "--", "host:1", "http://host:1"),
        *("tcp://", "tcp://:1", "tcp://host", "tcp://host:", "tcp://[::1:5"),
        *(f"tcp://host:{port}" for port in ("x", "0", "-1", "65536", "1/path", "1?x")),
    ],
)
def test_other_uris(uri):
    with pytest.raises(ConfigError) as caught:
        open_source(uri)
    assert str(caught.value).startswith(f"{uri} ")
    assert str(caught.value).endswith(" - or tcp://HOST:PORT")


def test_new_kind(monkeypatch):
    module = types.ModuleType("ddmlp.data.sources.other")
    module.open_other = lambda uri: closing(uri)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sources.SOURCES, "other", Kind("other://NAME", "other", "open_other"))
    assert is_source("other://x")
    assert open_source("other://x").thing == "other://x"
    with pytest.raises(ConfigError, match=r" - or tcp://HOST:PORT or other://NAME$"):
        open_source("x://")


def test_light_import():
    """Commands use the registry before they import NumPy."""
    text = "import sys, ddmlp.data.sources; print([each for each in ('numpy', 'pyarrow') if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
