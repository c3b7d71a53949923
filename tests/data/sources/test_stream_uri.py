"""URIs of streams in brokers, and files with the settings of their clients."""

from pathlib import Path

import pytest

from ddmlp.data.sources import stream_uri
from ddmlp.data.sources.registry import open_stream
from ddmlp.data.sources.stream_uri import StreamUri, flag_of, read_settings
from ddmlp.errors import ConfigError
from tests.support.broker import Server
from tests.support.brokers import SERVERS

FORM = "redis://HOST/STREAM"


def parse(uri: str) -> StreamUri:
    return StreamUri.parse(uri, FORM, 6379, {"username", "password"}, {"db"})


def refusal(uri: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(uri)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_simple():
    found = parse("redis://example.org/digits")
    assert found[:6] == ("redis", "example.org", 6379, "digits", "arrow", None)
    assert (found.settings, found.more) == ({}, {})
    found = parse("redis://[::1]:7000/a%2Fb:c?format=png&shape=28x29&db=3")
    assert found[:6] == ("redis", "::1", 7000, "a/b:c", "png", (28, 29))
    assert (found.name, found.more) == ("redis://[::1]:7000/a/b:c", {"db": "3"})


@pytest.mark.parametrize(
    "uri",
    [
        *("redis://", "redis:///digits", "redis://host", "redis://host/", "redis://:5/digits", "redis://[::1/digits"),
        *(f"redis://host:{port}/digits" for port in ("x", "0", "-1", "65536")),
        *("redis://host/a%00b", "redis://host/a%ff", f"redis://host/{'a' * 201}", "redis://host/digits#top"),
    ],
)
def test_malformed(uri):
    assert FORM in refusal(uri)


@pytest.mark.parametrize("options", ["form=raw", "format=raw&format=raw", "format", "db=1&user=hunter2", "&", "config"])
def test_options(options):
    assert "hunter2" not in refusal(f"redis://host/digits?{options}")


@pytest.mark.parametrize("shape", ["", "28", "28x", "0x5", "28x28x1", "-1x5", "999999999x1"])
def test_shapes(shape):
    assert "HEIGHTxWIDTH" in refusal(f"redis://host/digits?shape={shape}")


def test_formats():
    assert "'jpeg'" in refusal("redis://host/digits?format=jpeg")


@pytest.mark.parametrize("user", ["user:hunter2@", ":hunter2@", "hunter2@"])
def test_no_password_is_shown(user):
    message = refusal(f"redis://{user}host/digits")
    assert "hunter2" not in message
    assert "config" in message


def test_settings(tmp_path: Path):
    path = tmp_path / "client"
    path.write_text("# for the trainer\n\nusername = trainer\npassword=a=b c\n")
    expected = {"username": "trainer", "password": "a=b c"}
    assert parse(f"redis://host/digits?config={path}").settings == expected
    assert read_settings(path, None) == expected


BAD_SETTINGS = [
    (b"hunter2", "line 1"),
    (b"\n= hunter2", "line 2"),
    (b"password=hunter2\npassword=hunter2", "line 2"),
    (b"pass=hunter2", "'pass', expected password, username"),
    (b"password=\xffhunter2", "not text"),
    (b"#" * 101, "100 bytes"),
]


@pytest.mark.parametrize(("content", "expected"), BAD_SETTINGS, ids=range(len(BAD_SETTINGS)))
def test_bad_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, expected: str):
    monkeypatch.setattr(stream_uri, "MAX_SETTINGS", 100)
    (tmp_path / "client").write_bytes(content)
    message = refusal(f"redis://host/digits?config={tmp_path}/client")
    assert message.startswith(f"{tmp_path}/client")
    assert expected in message
    assert "hunter2" not in message


def test_no_settings(tmp_path: Path):
    assert f"{tmp_path} cannot be read" in refusal(f"redis://host/digits?config={tmp_path}")
    assert f"{tmp_path}/none cannot be read" in refusal(f"redis://host/digits?config={tmp_path}/none")


def test_flags():
    assert (flag_of("x", "true"), flag_of("x", "False")) == (True, False)
    with pytest.raises(ConfigError, match="x is 'yes', expected true or false"):
        flag_of("x", "yes")


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_missing_package(server: type[Server], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.errors.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=rf"ddmlp\[{server.__name__.lower()}\]"):
        open_stream(f"{server.scheme}://localhost/digits")


@pytest.mark.parametrize("scheme", ["nats", "rabbitmq-stream+tls"])
def test_bad_files(scheme: str, tmp_path: Path):
    (tmp_path / "client").write_text(f"tls_ca={tmp_path}/absent\n")
    with pytest.raises(ConfigError, match="tls_ca"):
        open_stream(f"{scheme}://localhost/digits?config={tmp_path}/client")
