"""Files with wrong rows: one line that names the file and the row, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from ddmlp.data.sources.registry import finite_parts
from tests.support.source_files import (
    hugging_face,
    lists,
    picture,
    plain,
    refusal,
    some_rows,
    write_pictures,
    write_stream,
)

ROWS = some_rows(20)


def with_image(row: int, content: bytes | None) -> pa.Table:
    """The table of Hugging Face with another file in a row."""
    table = hugging_face(ROWS)
    files = table["image"].to_pylist()
    files[row] = {"bytes": content, "path": None}
    return table.set_column(0, "image", pa.array(files, table["image"].type))


def with_labels(labels: list[int | None]) -> pa.Table:
    return plain(ROWS).set_column(1, "label", pa.array(labels, pa.int64()))


COLOUR = np.zeros((4, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (plain(ROWS).drop(["label"]), ["0 columns 'label'", "['pixels']"]),
        (plain(ROWS).rename_columns(["digits", "label"]), ["0 columns 'pixels'", "'image'"]),
        (hugging_face(ROWS).set_column(0, "image", pa.array(["x"] * 20)), ["type string", "picture files"]),
        (hugging_face(ROWS).slice(0, 0), ["no rows"]),
        (with_labels([None, *[1] * 19]), ["the label of row 0", "null"]),
        (with_labels([*[1] * 17, -1, 1, 1]), ["the label of row 17 is -1", "0 to 1"]),
        (with_labels([*[1] * 17, 256, 1, 1]), ["the label of row 17 is 256", "0 to 255"]),
        (with_image(17, None), ["the image of row 17 has no bytes"]),
        (with_image(17, b""), ["the image of row 17 is empty"]),
        (with_image(17, b"GIF89a"), ["the image of row 17 is a GIF picture"]),
        (with_image(17, picture(ROWS[0][0])[:-20]), ["the image of row 17 is damaged"]),
        (with_image(17, b"%PDF-1.4"), ["the image of row 17 is a PDF document", "PNG"]),
        (with_image(17, picture(np.zeros((5, 4), np.uint8))), ["the image of row 17 has 5 x 4 pixels", "4 x 4"]),
        (with_image(17, picture(COLOUR)), ["the image of row 17 is transparent"]),
        (with_image(17, picture(np.zeros((4, 4), np.uint16))), ["the image of row 17", "mode I;16", "8 bits"]),
    ],
)
@pytest.mark.parametrize("write", [parquet.write_table, feather.write_feather])
def test_simple(tmp_path, table, words, write):
    write(table, tmp_path / "some.x")
    message = refusal(tmp_path / "some.x")
    assert message.startswith(f"{tmp_path}/some.x")
    assert [word for word in words if word not in message] == []


def test_sizes_differ(tmp_path):
    """Between two files, whose rows are all right by themselves."""
    (tmp_path / "files").mkdir()
    for index, shape in enumerate([(4, 4), (4, 5)]):
        parquet.write_table(plain(some_rows(5, shape)), tmp_path / "files" / f"{index}.parquet")
    assert "files/1.parquet has images of 4 x 5 pixels, expected 4 x 4" in refusal(tmp_path / "files")


def test_names_of_files(tmp_path):
    for name in ("train-0.parquet", "other.parquet"):
        parquet.write_table(plain(ROWS), tmp_path / name)
    assert "other.parquet" in refusal(tmp_path)
    (tmp_path / "other.parquet").rename(tmp_path / "validation-0.parquet")
    with finite_parts(tmp_path) as parts:
        assert [path.name for path in parts.train.paths] == ["train-0.parquet"]
        assert (parts.test, "validation-" in parts.about) == (None, True)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def longer(content: bytes) -> bytes:
    return content + b"x"


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("kind", "damage"),
    [*((kind, each) for kind in ("parquet", "feather", "stream") for each in (cut, longer)), ("npz", cut)],
)
def test_damage(tmp_path, kind, damage):
    path = tmp_path / "some.x"
    match kind:
        case "parquet":
            parquet.write_table(plain(ROWS), path)
        case "feather":
            feather.write_feather(lists(ROWS), path)
        case "stream":
            write_stream(plain(ROWS), path)
        case "npz":
            np.savez_compressed(tmp_path / "some.npz", x=ROWS[0], y=ROWS[1])
            (tmp_path / "some.npz").rename(path)
    path.write_bytes(damage(path.read_bytes()))
    assert str(path) in refusal(path)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, ["is a zip archive", "an .npz file"]),
        ({"a": ROWS[0], "b": ROWS[1]}, ["a.npy, b.npy", "x_train"]),
        ({"x_train": ROWS[0], "y_train": ROWS[1][:-1]}, ["y_train has the shape (19,)", "(20,)"]),
        ({"x": ROWS[0][:, :3, 0], "y": ROWS[1]}, ["x has the shape (20, 3)", "(rows, height, width)"]),
        ({"x": ROWS[0] / 255, "y": ROWS[1]}, ["x is float64", "integers"]),
        ({"x": np.asfortranarray(ROWS[0]), "y": ROWS[1]}, ["x is in column-major order", "C-contiguous"]),
        ({"x": np.array([[{}]]), "y": ROWS[1]}, ["x is not an array of numbers"]),
        ({"x": ROWS[0] + np.int64(200), "y": ROWS[1]}, ["in row 0", "0 to 255"]),
        ({"x": ROWS[0], "y": np.array([*ROWS[1][:17], -1, 0, 0], np.int64)}, ["y has -1 in row 17", "0 to 9"]),
    ],
)
def test_arrays(tmp_path, arrays, words):
    np.savez_compressed(tmp_path / "some.npz", **arrays)
    message = refusal(tmp_path / "some.npz")
    assert [word for word in [f"{tmp_path}/some.npz", *words] if word not in message] == []


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_flipped_array(tmp_path, save):
    save(tmp_path / "some.npz", x=ROWS[0], y=ROWS[1])
    (tmp_path / "some.npz").write_bytes(flipped((tmp_path / "some.npz").read_bytes()))
    assert "is damaged" in refusal(tmp_path / "some.npz")


def other_text(folder: Path) -> None:
    (folder / "3" / "notes.txt").write_text("hello")


def other_place(folder: Path) -> None:
    (folder / "stray.png").write_bytes(picture(ROWS[0][0]))


def other_size(folder: Path) -> None:
    (folder / "3" / "99999.png").write_bytes(picture(np.zeros((4, 3), np.uint8)))


def turned(folder: Path) -> None:
    (folder / "3" / "99999.png").write_bytes(
        picture(ROWS[0][0], exif=b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0" + bytes(4))
    )


def nested(folder: Path) -> None:
    (folder / "3" / "deeper").mkdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_text, ["3/notes.txt is text", "expected a picture"]),
        (other_place, ["stray.png is in no folder of a class", "CLASS/stray.png"]),
        (other_size, ["3/99999.png has 4 x 3 pixels", "4 x 4"]),
        (turned, ["3/99999.png", "EXIF orientation 6"]),
        (nested, ["3/deeper cannot be read"]),
    ],
)
def test_pictures(tmp_path, spoil: Callable[[Path], None], words):
    write_pictures(tmp_path / "some", ROWS)
    spoil(tmp_path / "some")
    message = refusal(tmp_path / "some")
    assert [word for word in words if word not in message] == []


def test_unknown_class(tmp_path):
    for part, rows in (("train", some_rows(5)), ("test", some_rows(10))):
        write_pictures(tmp_path / part, rows)
    assert "has the class 5" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty", "a Parquet or Arrow file"]),
        (bytes(100), ["of an unknown format"]),
        (b"\x1f\x8b\x08" + bytes(20), ["is gzip data", "gunzip"]),
        (b"\x80\x05\x95" + bytes(20), ["is a pickle", "an .npz file"]),
        (b"\0\0\x08\x03" + bytes(12), ["is an IDX file", "a folder of four IDX files"]),
    ],
)
def test_other_files(tmp_path, content, words):
    (tmp_path / "some").write_bytes(content)
    message = refusal(tmp_path / "some")
    assert [word for word in [str(tmp_path / "some"), *words] if word not in message] == []


def test_not_there(tmp_path):
    assert "No such file" in refusal(tmp_path / "some.parquet")
