"""The manifest: round trip, and every way in which dataset.json can be wrong."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from ddmlp.data.manifest import NAME, Manifest, Shard
from ddmlp.errors import DatasetError

SHARDS = Shard("00000.arrow", 3, 900, "a" * 64), Shard("00001.arrow", 2, 800, "b" * 64)
GOOD = Manifest(5, (2, 3), 4, 2, SHARDS)
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


def document() -> dict[str, Any]:
    """The JSON of GOOD, written out by hand."""
    return {
        "format": "ddmlp-dataset",
        "version": 1,
        "rows": 5,
        "image_shape": [2, 3],
        "classes": 4,
        "batch_rows": 2,
        "shards": [
            {"file": "00000.arrow", "rows": 3, "bytes": 900, "sha256": "a" * 64},
            {"file": "00001.arrow", "rows": 2, "bytes": 800, "sha256": "b" * 64},
        ],
    }


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


def complaint_of(folder: Path) -> str | None:
    """What is wrong with a manifest, if anything is."""
    try:
        Manifest.read(folder)
    except DatasetError as error:
        return str(error)
    return None


def test_simple(tmp_path):
    GOOD.write(tmp_path)
    assert Manifest.read(tmp_path) == GOOD
    assert GOOD.pixels == 6
    assert json.loads((tmp_path / NAME).read_text()) == document()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@given(
    shape=st.tuples(st.integers(1, 2**53), st.integers(1, 2**53)),
    classes=st.integers(1, 256),
    batch_rows=st.integers(1, 2**53),
    rows=st.lists(st.integers(1, 2**40), min_size=1, max_size=5),
)
def test_any_manifest_makes_the_round_trip(tmp_path_factory, shape, classes, batch_rows, rows):
    folder = tmp_path_factory.mktemp("round")
    shards = tuple(Shard(f"{index:05d}.arrow", n, n + 1, f"{index:064x}") for index, n in enumerate(rows))
    manifest = Manifest(sum(rows), shape, classes, batch_rows, shards)
    manifest.write(folder)
    assert Manifest.read(folder) == manifest
    assert Manifest.read(folder).sha256() == manifest.sha256()


@pytest.mark.parametrize(
    "other",
    [
        replace(GOOD, image_shape=(3, 2)),
        replace(GOOD, classes=5),
        replace(GOOD, batch_rows=3),
        replace(GOOD, shards=SHARDS[::-1]),
        replace(GOOD, rows=6, shards=(replace(SHARDS[0], rows=4), SHARDS[1])),
        replace(GOOD, shards=(replace(SHARDS[0], file="x"), SHARDS[1])),
        replace(GOOD, shards=(replace(SHARDS[0], bytes=901), SHARDS[1])),
        replace(GOOD, shards=(replace(SHARDS[0], sha256="c" * 64), SHARDS[1])),
    ],
)
def test_the_fingerprint_covers_every_field(other):
    assert other.sha256() != GOOD.sha256()
    assert replace(other, **{name: getattr(GOOD, name) for name in asdict(GOOD)}).sha256() == GOOD.sha256()


def test_without_a_manifest(tmp_path):
    with pytest.raises(DatasetError) as caught:
        Manifest.read(tmp_path / "nowhere")
    assert str(caught.value) == (
        f"{tmp_path}/nowhere is no dataset: it has no dataset.json; make one with tools/idx2arrow.py"
    )
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DatasetError, match=r"file is no dataset: it has no dataset\.json"):
        Manifest.read(file)


def test_a_manifest_that_cannot_be_read(tmp_path):
    (tmp_path / NAME).symlink_to(NAME)
    with pytest.raises(DatasetError, match=r"/dataset\.json cannot be read: Too many levels of symbolic links$"):
        Manifest.read(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(DatasetError, match=r"/dataset\.json cannot be read: Is a directory$"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("place", PLACES)
def test_a_missing_key_is_named(tmp_path, place):
    message = refusal(tmp_path, changed(place, MISSING))
    if isinstance(place[-1], str):
        assert f"`{place[-1]}`" in message


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (("format",), "parquet", "are ('parquet', 1), expected ('ddmlp-dataset', 1)"),
        (("version",), 2, "are ('ddmlp-dataset', 2), expected ('ddmlp-dataset', 1)"),
        (("rows",), 6, "rows is 6, but its shards hold 5"),
        (("rows",), "5", "Expected `int`, got `str` - at `$.rows`"),
        (("rows",), 5.0, "Expected `int`, got `float` - at `$.rows`"),
        (("rows",), 0, "Expected `int` >= 1 - at `$.rows`"),
        (("classes",), 257, "Expected `int` <= 256 - at `$.classes`"),
        (("classes",), True, "Expected `int`, got `bool` - at `$.classes`"),
        (("batch_rows",), -1, "Expected `int` >= 1 - at `$.batch_rows`"),
        (("batch_rows",), 2**53 + 1, f"Expected `int` <= {2**53} - at `$.batch_rows`"),
        (("image_shape",), [28], "Expected `array` of length 2, got 1 - at `$.image_shape`"),
        (("image_shape",), [28, 0], "Expected `int` >= 1 - at `$.image_shape[1]`"),
        (("shards",), [], "rows is 5, but its shards hold 0"),
        (("shards", 0, "rows"), 4, "rows is 5, but its shards hold 6"),
        (("shards", 0, "rows"), None, "Expected `int`, got `null` - at `$.shards[0].rows`"),
        (("shards", 0, "bytes"), 0, "Expected `int` >= 1 - at `$.shards[0].bytes`"),
        (("shards", 0, "sha256"), "a" * 63, "matching regex '^[0-9a-f]{64}\\\\Z' - at `$.shards[0].sha256`"),
        (("shards", 0, "sha256"), "a" * 64 + "\n", "at `$.shards[0].sha256`"),
        (("shards", 0, "sha256"), "x" * 64, "at `$.shards[0].sha256`"),
        (("shards", 1, "file"), "00000.arrow", "two of its shards are the same file"),
        (("more",), 1, "`more`"),
        (("ended",), 1, "Expected `bool`, got `int` - at `$.ended`"),
        (("ended",), None, "Expected `bool`, got `null` - at `$.ended`"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, place, value, expected):
    assert expected in refusal(tmp_path, changed(place, value))


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "a/", "", ".", "..", "a\0b", "\ud800", "a\n", "\u00e4", 5]
)
def test_a_shard_is_a_plain_file_name(tmp_path, name):
    refusal(tmp_path, changed(("shards", 0, "file"), name))


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '"dataset"', "{}", b"\xff\xfe{}", "[" * 100_000])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    refusal(tmp_path, text)


@given(place=st.sampled_from(PLACES), value=values)
def test_any_value_is_a_dataset_error(tmp_path_factory, place, value):
    folder = tmp_path_factory.getbasetemp()
    (folder / NAME).write_text(changed(place, value))
    complaint = complaint_of(folder)
    assert complaint is None or complaint.startswith(f"{folder / NAME} is damaged: ")
    assert "\n" not in (complaint or "")


@given(at=st.integers(0, len(json.dumps(document())) - 1), byte=st.binary(max_size=2))
def test_a_damaged_byte_is_a_dataset_error(tmp_path_factory, at, byte):
    folder = tmp_path_factory.getbasetemp()
    text = json.dumps(document()).encode()
    (folder / NAME).write_bytes(text[:at] + byte + text[at + 1 :])
    complaint = complaint_of(folder)
    assert complaint is None or complaint.startswith(f"{folder / NAME} is damaged: ")


def test_the_end_is_written_if_marked(tmp_path):
    ended = replace(GOOD, ended=True)
    ended.write(tmp_path)
    assert json.loads((tmp_path / NAME).read_text()) == {**document(), "ended": True}
    assert Manifest.read(tmp_path) == ended
    GOOD.write(tmp_path)
    assert "ended" not in (tmp_path / NAME).read_text()
    assert not Manifest.read(tmp_path).ended


def test_the_fingerprint_leaves_out_the_end(tmp_path):
    GOOD.write(tmp_path)
    assert GOOD.sha256() == hashlib.sha256((tmp_path / NAME).read_bytes()).hexdigest()
    assert replace(GOOD, ended=True).sha256() == GOOD.sha256()


def test_the_text_is_what_it_always_was(tmp_path):
    """Its SHA-256 is the dataset's identity: runs and checkpoints of older versions hold it."""
    GOOD.write(tmp_path)
    assert (tmp_path / NAME).read_text() == json.dumps(document(), indent=1) + "\n"
    assert GOOD.sha256() == "a21d65310a34eba4d94800fb731e6b205693340fd86f96c49d9c061442dcdf7d"
    assert GOOD.form() == "335a5232771923a31fd03f6119573292d78b07b28d1072d05014780088f9a235"


def test_prefix():
    assert replace(GOOD, ended=True).prefix(1) == replace(GOOD, rows=3, shards=SHARDS[:1])
    assert replace(GOOD, ended=True).prefix(2) == GOOD
    for shards in (-1, 0, 3):
        with pytest.raises(DatasetError, match=f"a dataset of 2 shards has no first {shards}"):
            GOOD.prefix(shards)


def test_the_form_is_that_of_the_rows():
    same = [replace(GOOD, rows=3, shards=SHARDS[:1]), replace(GOOD, batch_rows=3), replace(GOOD, ended=True)]
    assert {other.form() for other in same} == {GOOD.form()}
    others = [replace(GOOD, image_shape=(3, 2)), replace(GOOD, image_shape=(6, 1)), replace(GOOD, classes=5)]
    assert len({other.form() for other in [GOOD, *others]}) == 4
