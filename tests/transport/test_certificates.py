"""The certificates of a user: checked before anything starts, and in one line."""

import pytest

from ddmlp.api.options import Options
from ddmlp.errors import ConfigError
from ddmlp.transport.tls import NAMES, Credentials, Tls
from tests.support.certificates import expired_credentials, write_files
from tests.support.sockets import CLIENT, Encrypted, admit


@pytest.fixture
def folder(tmp_path):
    """A folder with the certificates of a user: one for clients and servers."""
    return write_files(tmp_path)


def test_own_files(pool, dataset, folder):
    address = Encrypted(pool.listen(("127.0.0.1", 0), Tls(folder, server=True)))
    address.credentials = folder
    admit(pool, address, dataset, 0).close()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ca.crt", None, ["ca.crt", "No such file"]),
        ("tls.key", b"", ["tls.crt and tls.key"]),
        ("tls.crt", b"-----BEGIN CERTIFICATE-----\nAAAA\n", ["tls.crt and tls.key"]),
        ("ca.crt", b"\xff", ["ca.crt"]),
        ("ca.crt", CLIENT.authority, ["verify failed"]),
        ("tls.key", CLIENT.key, ["key values mismatch"]),
    ],
    ids=["missing", "no key", "cut", "no text", "other authority", "other key"],
)
def test_bad_files(folder, name, content, words):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Options(workers=1, certificates=folder)
    for word in [str(folder), *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_expired_files(folder):
    expired, _ = expired_credentials()
    for name, content in zip(NAMES, (expired.authority, expired.certificate, expired.key), strict=True):
        (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match="expired"):
        Credentials.read(folder)
