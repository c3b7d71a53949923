"""A store: files elsewhere, and URIs without secrets."""

from pathlib import Path

import pytest

from ddmlp.data.store import Store, is_store
from ddmlp.errors import ConfigError, StoreError


def test_simple(tmp_path: Path):
    (tmp_path / "local").write_bytes(b"some bytes")
    store = Store((tmp_path / "else where" / "deeper").as_uri())
    assert store.names() == []
    store.write("one", tmp_path / "local")
    assert store.names() == ["one"]
    assert (tmp_path / "else where" / "deeper" / "one").read_bytes() == b"some bytes"
    with (tmp_path / "copy").open("wb") as file:
        assert store.read("one", file) == store.sha256("one")
    assert (tmp_path / "copy").read_bytes() == b"some bytes"
    store.delete("one")
    store.delete("one")
    assert store.names() == []


def test_failures_name_the_store(tmp_path: Path):
    store = Store(tmp_path.as_uri())
    with pytest.raises(StoreError, match="missing"):
        store.sha256("missing")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file://"):
        Store((tmp_path / "file").as_uri()).write("one", tmp_path / "file")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://KEY:hush@bucket/one",
        "s3://KEY:hu/sh@bucket/one",
        "s3://KEY%3Ahush%40bucket/one",
        "s3://bucket/one?secret_key=hush",
        "s3://bucket/one?hush",
        "s3://bucket/one?HUSH-hush=1",
        "gs://hush@bucket/one",
        "https://hush@host/one",
        "abfs://account:hush@container/one",
        "abfs://account%3Ahush%40container/one",
        "abfs://HUSH+hush@account.dfs.core.windows.net/one",
        "abfss://container@account.dfs.core.windows.net/one?sig=hush",
        "abfs://container@account.dfs.core.windows.net/one?client_secret=hush",
        "abfs://hush.dfs.core.windows.net/",
        "s3://?region=hush",
        "file://",
    ],
)
def test_secrets_are_refused(uri: str):
    with pytest.raises(ConfigError) as found:
        Store(uri)
    assert "hush" not in str(found.value).lower()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://a/b", True),
        ("gs://a", True),
        ("file:///a", True),
        ("abfs://a@b/c", True),
        ("runs/one", False),
        ("tcp://a:1", False),
        (3, False),
    ],
)
def test_is_store(text: object, expected: bool):
    assert is_store(text) == expected
