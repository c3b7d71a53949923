"""The registry of sources: URIs of streams, new kinds of streams, and kinds that packages add."""

import subprocess
import sys
import types
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.sources import registry
from ddmlp.data.sources.in_memory import RowsInMemory
from ddmlp.data.sources.npz_file import NpzArrays
from ddmlp.data.sources.parts import Parts
from ddmlp.data.sources.registry import Kind, finite_parts, is_finite, is_stream, open_stream
from ddmlp.errors import ConfigError


def test_simple():
    assert [is_stream(uri) for uri in ("-", "tcp://host:1", "tcp://")] == [True] * 3
    others = ("", "data", "--", "./-", "a/tcp://b", "ftp://host:1", "/x", Path("-"), 5, None)
    assert [is_stream(uri) for uri in others] == [False] * len(others)


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
        open_stream(uri)
    assert str(caught.value).startswith(f"{uri} ")
    assert " - or tcp://HOST:PORT" in str(caught.value)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Kind:
    """A kind in another package."""
    module = types.ModuleType("other_package")
    module.open_other = lambda uri: closing(uri)
    module.OTHER = Kind("other://NAME", "other_package", "open_other")
    module.WRONG = module.open_other
    module.find_some = lambda place: Parts(RowsInMemory(np.zeros((3, 1, len(str(place))), np.uint8), [0, 1, 2]))
    module.FILE = Kind("a file", "other_package", "find_some", finite=True)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.OTHER


def test_new_kind(monkeypatch, other):
    monkeypatch.setitem(registry.KINDS, "other", other)
    assert is_stream("other://x")
    assert open_stream("other://x").thing == "other://x"
    with pytest.raises(ConfigError, match=r" or other://NAME$"):
        open_stream("x://")


@pytest.fixture
def package(other: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """An installed package, with entry points."""
    path = tmp_path / "other_package-1.0.dist-info" / "entry_points.txt"
    path.parent.mkdir()
    points = {"other": "OTHER", "wrong": "WRONG", ".other": "FILE", "rows": "FILE"}
    lines = [f"{name} = other_package:{found}" for name, found in points.items()]
    path.write_text("\n".join(["[ddmlp.sources]", "gone = gone:HERE", *lines]))
    monkeypatch.syspath_prepend(tmp_path)
    registry._added.cache_clear()


@pytest.mark.usefixtures("package")
def test_entry_point():
    assert is_stream("other://x")
    assert open_stream("other://x").thing == "other://x"
    assert not is_stream("another://x")


@pytest.mark.usefixtures("package")
def test_finite_entry_point(tmp_path):
    """Found by the suffix of a file, unless its first bytes are known, or by the scheme of a URI."""
    (tmp_path / "some.other").write_bytes(b"\x01\x02")
    for place in (tmp_path / "some.other", "rows://here"):
        assert (is_finite(place), is_stream(place)) == (True, False)
        with finite_parts(place) as parts:
            assert parts.train.image_shape == (1, len(str(place)))
    with pytest.raises(ConfigError, match="is not a stream"):
        open_stream("rows://here")
    np.savez(tmp_path / "array.other", x=np.zeros((1, 2, 2), np.uint8), y=np.zeros(1, np.uint8))
    with finite_parts(tmp_path / "array.other.npz") as parts:
        assert isinstance(parts.train, NpzArrays)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("name", "found"), [("wrong", "function"), ("gone", "No module named 'gone'")])
def test_bad_entry_point(name, found):
    with pytest.raises(ConfigError) as caught:
        is_stream(f"{name}://x")
    assert [part for part in (name, found) if part not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_light_import():
    """Commands use the registry before they import NumPy."""
    text = "import sys, ddmlp.data.sources.registry; print([x for x in ('numpy', 'pyarrow') if x in sys.modules])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
