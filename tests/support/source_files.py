"""The same rows in every kind of file that can be converted."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import feather, parquet

from ddmlp.data.convert import convert
from ddmlp.data.idx import read_idx, write_idx
from ddmlp.data.sources.registry import finite_parts
from ddmlp.errors import DataError

Rows = tuple[np.ndarray, np.ndarray]
NAMES = [f"class {label}" for label in range(10)]


def some_rows(count: int = 30, shape: tuple[int, int] = (4, 4), seed: int = 0) -> Rows:
    """Random rows of ten classes, whose first and last pixels are 0, as those of digits are."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (count, *shape), np.uint8)
    pixels[:, 0, 0] = pixels[:, -1, -1] = 0
    return pixels, np.arange(count, dtype=np.uint8) % 10


def sample_rows(folder: Path) -> dict[str, Rows]:
    """The rows of the four IDX files in a folder, by part."""
    return {
        part: (read_idx(folder / f"{begin}-images-idx3-ubyte.gz"), read_idx(folder / f"{begin}-labels-idx1-ubyte.gz"))
        for part, begin in (("train", "train"), ("test", "t10k"))
    }


def picture(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


def hugging_face(rows: Rows, names: list[str] | None = None) -> pa.Table:
    """A table as Hugging Face's MNIST has it, with the names of the classes in its metadata."""
    pixels, labels = rows
    files = [{"bytes": picture(image), "path": f"{row}.png"} for row, image in enumerate(pixels)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(files, kind), "label": pa.array(labels.astype(np.int64))})
    features = {"image": {"_type": "Image"}, "label": {"names": names or NAMES, "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def plain(rows: Rows) -> pa.Table:
    return pa.table({"pixels": pa.FixedShapeTensorArray.from_numpy_ndarray(rows[0]), "label": rows[1]})


def lists(rows: Rows) -> pa.Table:
    pixels = pa.array(list(rows[0].reshape(len(rows[0]), -1)), pa.list_(pa.uint8()))
    return pa.table({"index": pa.array(range(len(rows[0]))), "pixels": pixels, "label": rows[1].astype(np.int32)})


def write_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def write_csv(path: Path, rows: Rows, names: list[str] | None, *, last: bool = False) -> None:
    pixels, labels = rows
    flat = pixels.reshape(len(pixels), -1).tolist()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        if names:
            writer.writerow([*names[1:], names[0]] if last else names)
        writer.writerows([*row, label] if last else [label, *row] for row, label in zip(flat, labels, strict=True))


def csv_names(shape: tuple[int, int]) -> list[str]:
    return ["label", *(f"pixel{index}" for index in range(shape[0] * shape[1]))]


def write_pictures(folder: Path, rows: Rows) -> None:
    for row, (image, label) in enumerate(zip(*rows, strict=True)):
        path = folder / str(label) / f"{row:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(image))


def _of_tables(name: str, write: Callable[[Rows, Path], object]) -> Callable[[Path, dict[str, Rows]], Path]:
    def written(folder: Path, parts: dict[str, Rows]) -> Path:
        for part, rows in parts.items():
            write(rows, folder / f"{part}-{name}")
        return folder

    return written


def _hugging_face(folder: Path, parts: dict[str, Rows]) -> Path:
    """Two files of training data, in row groups, and one of test data."""
    for part, rows in parts.items():
        table, several = hugging_face(rows), 2 if part == "train" else 1
        for index in range(several):
            begin, end = (each * len(table) // several for each in (index, index + 1))
            name = f"{part}-{index:05d}-of-{several:05d}.parquet"
            parquet.write_table(table.slice(begin, end - begin), folder / name, row_group_size=9)
    return folder


def _npz(folder: Path, parts: dict[str, Rows]) -> Path:
    """As Keras' mnist.npz."""
    (train, labels), (test, others) = parts["train"], parts["test"]
    np.savez_compressed(folder / "mnist.npz", x_train=train, y_train=labels, x_test=test, y_test=others)
    return folder / "mnist.npz"


def _pictures(folder: Path, parts: dict[str, Rows]) -> Path:
    for part, rows in parts.items():
        write_pictures(folder / part, rows)
    return folder


def _qmnist(folder: Path, parts: dict[str, Rows]) -> Path:
    for part, (pixels, labels) in parts.items():
        write_idx(folder / f"qmnist-{part}-images-idx3-ubyte", pixels)
        numbers = np.full((len(labels), 8), 77, ">i4")
        numbers[:, 0] = labels
        content = b"\0\0\x0c\x02" + len(labels).to_bytes(4, "big") + (8).to_bytes(4, "big") + numbers.tobytes()
        (folder / f"qmnist-{part}-labels-idx2-int").write_bytes(content)
    return folder


def refusal(place: Path, **options: object) -> str:
    """Convert what must be refused; return the message, which is one line. Nothing is written."""
    out = place.parent / "out"
    with pytest.raises(DataError) as caught, finite_parts(place) as parts:
        convert({out: parts.train}, **options)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Write the rows of both parts into a folder; return what is to be converted.
WRITTEN = {
    "Parquet of Hugging Face": _hugging_face,
    "Parquet": _of_tables("plain.parquet", lambda rows, path: parquet.write_table(plain(rows), path)),
    "Parquet of lists": _of_tables("some.parquet", lambda rows, path: parquet.write_table(lists(rows), path)),
    "Feather": _of_tables("x.feather", lambda rows, path: feather.write_feather(lists(rows), path)),
    "Feather of pictures": _of_tables("x.arrow", lambda rows, path: feather.write_feather(hugging_face(rows), path)),
    "Arrow stream": _of_tables("x.arrow", lambda rows, path: write_stream(hugging_face(rows), path)),
    "npz": _npz,
    "pictures": _pictures,
    "QMNIST": _qmnist,
}
