"""Damaged manifests: each is rejected with an error that names the damage."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.data.manifest import NAME, Manifest
from ddmlp.errors import DatasetError
from tests.support.manifests import document

PLACES: list[tuple[str | int, ...]] = [
    *((name,) for name in ("format", "version", "rows", "image_shape", "classes", "batch_rows", "shards")),
    *(("image_shape", side) for side in (0, 1)),
    *(("shards", index) for index in (0, 1)),
    *(("shards", 0, name) for name in ("file", "rows", "bytes", "sha256")),
]
MISSING = object()
numbers = st.integers() | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def position(**changes: Any) -> dict[str, Any]:
    return {"identity": {"kind": "kafka"}, "offsets": {"0": "12"}, **changes}


def changed(place: tuple[str | int, ...], value: object) -> str:
    found = document()
    inside: Any = found
    for step in place[:-1]:
        inside = inside[step]
    if value is MISSING:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return json.dumps(found)


def refusal(folder: Path, content: str | bytes) -> str:
    (folder / NAME).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError) as caught:
        Manifest.read(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / NAME} is damaged: ")
    assert message.endswith("; convert the data again")
    assert "\n" not in message
    return message


def error_of(folder: Path) -> str | None:
    """Return the error for the manifest, if there is one."""
    try:
        Manifest.read(folder)
    except DatasetError as error:
        return str(error)
    return None


def test_missing_manifest(tmp_path):
    with pytest.raises(DatasetError) as caught:
        Manifest.read(tmp_path / "nowhere")
    assert str(caught.value).startswith(f"{tmp_path}/nowhere is not a dataset: it has no dataset.json; ")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DatasetError, match=r"file is not a dataset: it has no dataset\.json"):
        Manifest.read(file)


def test_unreadable_manifest(tmp_path):
    (tmp_path / NAME).symlink_to(NAME)
    with pytest.raises(DatasetError, match=r"/dataset\.json cannot be read: Too many levels"):
        Manifest.read(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(DatasetError, match=r"/dataset\.json cannot be read: Is a directory"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("place", PLACES)
def test_missing_key(tmp_path, place):
    message = refusal(tmp_path, changed(place, MISSING))
    if isinstance(place[-1], str):
        assert f"`{place[-1]}`" in message


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (("format",), "parquet", "are ('parquet', 1), expected ('ddmlp-dataset', 1)"),
        (("version",), 2, "are ('ddmlp-dataset', 2), expected ('ddmlp-dataset', 1)"),
        (("rows",), 6, "rows is 6, but the shards have 5"),
        (("rows",), "5", "Expected `int`, got `str` - at `$.rows`"),
        (("rows",), 5.0, "Expected `int`, got `float` - at `$.rows`"),
        (("rows",), 0, "Expected `int` >= 1 - at `$.rows`"),
        (("classes",), 257, "Expected `int` <= 256 - at `$.classes`"),
        (("classes",), True, "Expected `int`, got `bool` - at `$.classes`"),
        (("batch_rows",), -1, "Expected `int` >= 1 - at `$.batch_rows`"),
        (("batch_rows",), 2**53 + 1, f"Expected `int` <= {2**53} - at `$.batch_rows`"),
        (("image_shape",), [28], "Expected `array` of length 2, got 1 - at `$.image_shape`"),
        (("image_shape",), [28, 0], "Expected `int` >= 1 - at `$.image_shape[1]`"),
        (("shards",), [], "rows is 5, but the shards have 0"),
        (("shards", 0, "rows"), 4, "rows is 5, but the shards have 6"),
        (("shards", 0, "rows"), None, "Expected `int`, got `null` - at `$.shards[0].rows`"),
        (("shards", 0, "bytes"), 0, "Expected `int` >= 1 - at `$.shards[0].bytes`"),
        (("shards", 0, "sha256"), "a" * 63, "matching regex '^[0-9a-f]{64}\\\\Z' - at `$.shards[0].sha256`"),
        (("shards", 0, "sha256"), "a" * 64 + "\n", "at `$.shards[0].sha256`"),
        (("shards", 0, "sha256"), "x" * 64, "at `$.shards[0].sha256`"),
        (("shards", 1, "file"), "00000.arrow", "same file"),
        (("more",), 1, "`more`"),
        (("ended",), 1, "Expected `bool`, got `int` - at `$.ended`"),
        (("image_shape",), [2**13, 2**13], "image_shape is (8192, 8192), "),
        (("image_shape",), [2**53, 2**53], "16,777,216 pixels"),
        (("class_names",), ["a"], "found 1 class names, expected 4"),
        (("class_names",), [], "found 0 class names, expected 4"),
        (("class_names",), ["a", "b", "c", ""], "the name of class 3 is ''"),
        (("class_names",), ["a", "b\x1b[2J", "c", "d"], "the name of class 1 is 'b\\x1b[2J'"),
        (("class_names",), ["a", "b", "c", "x" * 101], "the name of class 3 is 'xxx"),
        (("class_names",), ["a", "b", "c", "a"], "the classes 0 and 3 have the same name, 'a'"),
        (("class_names",), ["a", "b", "c", 4], "Expected `str`, got `int` - at `$.class_names[3]`"),
        (("class_names",), "abcd", "Expected `array"),
        (("position",), {}, "missing required field `identity` - at `$.position`"),
        (("position",), 5, "Expected `object | null`, got `int` - at `$.position`"),
        (("position",), position(identity={}), "length >= 1 - at `$.position.identity`"),
        (("position",), position(identity={str(n): "a" for n in range(17)}), "length <= 16 - at `$.position.identity`"),
        (("position",), position(identity={"a": "b\x1b[2J"}), "'b\\x1b[2J'"),
        (("position",), position(identity={"a": 1}), "Expected `str`, got `int`"),
        (("position",), position(offsets={}), "length >= 1 - at `$.position.offsets`"),
        (("position",), position(offsets={"a\n": "1"}), "'a\\n'"),
        (("position",), position(offsets={"0": 1}), "Expected `str`, got `int`"),
        *((("position",), position(offsets={"0": text}), "matching regex") for text in ("", "-\n", "1 2", "9" * 101)),
        (("position",), position(bad_rows=-1), "`int` >= 0 - at `$.position.bad_rows`"),
        (("position",), position(bad_rows=None), "Expected `int`, got `null` - at `$.position.bad_rows`"),
        (("position",), position(more=1), "`more` - at `$.position`"),
        (("ended",), None, "Expected `bool`, got `null` - at `$.ended`"),
    ],
)
def test_wrong_value(tmp_path, place, value, expected):
    assert expected in refusal(tmp_path, changed(place, value))


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "a/", "", ".", "..", "a\0b", "\ud800", "a\n", "\u00e4", 5]
)
def test_shard_names(tmp_path, name):
    refusal(tmp_path, changed(("shards", 0, "file"), name))


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '"dataset"', "{}", b"\xff\xfe{}", "[" * 100_000])
def test_other_content(tmp_path, text):
    refusal(tmp_path, text)


@given(place=st.sampled_from(PLACES), value=values)
def test_any_value(tmp_path_factory, place, value):
    folder = tmp_path_factory.getbasetemp()
    (folder / NAME).write_text(changed(place, value))
    error = error_of(folder)
    assert error is None or error.startswith(f"{folder / NAME} is damaged: ")
    assert "\n" not in (error or "")


@given(at=st.integers(0, len(json.dumps(document())) - 1), byte=st.binary(max_size=2))
def test_damaged_byte(tmp_path_factory, at, byte):
    folder = tmp_path_factory.getbasetemp()
    text = json.dumps(document()).encode()
    (folder / NAME).write_bytes(text[:at] + byte + text[at + 1 :])
    error = error_of(folder)
    assert error is None or error.startswith(f"{folder / NAME} is damaged: ")
