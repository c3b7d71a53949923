"""Class names: a list, a file with one name per line, EMNIST's mapping files."""

from pathlib import Path

import pytest

from ddmlp.data.class_names import MAX_BYTES, parse_class_names
from ddmlp.errors import ConfigError


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"cat\ndog\n", (("cat", "dog"), None)),
        (b"\xef\xbb\xbfcat\r\n no cat \r\n\r\n", (("cat", "no cat"), None)),
        (b"a,b\nc\n", (("a,b", "c"), None)),
        ("\u00c4\n".encode(), (("\u00c4",), None)),
        (b"1 65 97\n2 66 98\n3 67 99\n", (("A", "B", "C"), 1)),
        (b"0 48\n1 49\n", (("0", "1"), 0)),
        (b"0\n1\n2\n", (("0", "1", "2"), None)),
    ],
)
def test_file(tmp_path, content, expected):
    (tmp_path / "names, all").write_bytes(content)
    assert parse_class_names(str(tmp_path / "names, all")) == expected


def test_list():
    assert parse_class_names("cat, no cat,dog") == (("cat", "no cat", "dog"), None)
    many = tuple(f"class {number}" for number in range(256))
    assert parse_class_names(",".join(many)) == (many, None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no names"),
        (b"\n\n", "no names"),
        (b"na\xefve\n", "names, byte 2: "),
        (b"a\n" * MAX_BYTES, "65,536 bytes"),
        (b"1 65\n3 66\n", "line 2: found label 3, expected 2"),
        (b"1 1114112\n", "line 1: found 1114112"),
        (None, "names: No such file"),
    ],
)
def test_refused(tmp_path: Path, content, expected):
    if content is not None:
        (tmp_path / "names").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        parse_class_names(str(tmp_path / "names"))
    assert str(caught.value).startswith("--class-names: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
