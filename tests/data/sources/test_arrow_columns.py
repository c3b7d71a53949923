"""Arrow columns: the supported types, and errors that name unsupported ones."""

import numpy as np
import pyarrow as pa
import pytest

from ddmlp.data.sources import Rows
from ddmlp.data.sources.arrow_columns import Columns
from ddmlp.errors import DatasetError
from tests.support.streams import tensor


def columns(pixels: pa.Array, label: pa.Array | None = None) -> pa.RecordBatch:
    label = pa.array(np.arange(len(pixels))) if label is None else label
    return pa.record_batch([pixels, label], names=["pixels", "label"])


def rows_of(*batches: pa.RecordBatch) -> list[Rows]:
    columns = Columns(batches[0].schema, "it", 10)
    return [columns.decode(batch) for batch in batches]


def refusal(*batches: pa.RecordBatch) -> tuple[str, list[Rows]]:
    """Return the error for the batches, without the name with which it begins; and the rows before."""
    taken: list[Rows] = []

    def take() -> None:
        columns = Columns(batches[0].schema, "it", 10)
        for batch in batches:
            taken.append(columns.decode(batch))

    with pytest.raises(DatasetError) as caught:
        take()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("it")
    return message.removeprefix("it"), taken


GRID = np.arange(8, dtype=np.uint8).reshape(2, 4)
LISTS = GRID.tolist()
LINES = [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [0, 1, 2]]]


@pytest.mark.parametrize(
    ("pixels", "shape"),
    [
        (tensor(GRID.reshape(2, 2, 2)), (2, 2)),
        (tensor(GRID.reshape(2, 1, 4)), (1, 4)),
        (tensor(GRID.reshape(2, 4, 1)), (4, 1)),
        (pa.array(LISTS, pa.list_(pa.uint8(), 4)), (2, 2)),
        (pa.array(GRID.reshape(1, 8).tolist() * 2, pa.list_(pa.uint8(), 8)), (1, 8)),
        (pa.array(LISTS, pa.list_(pa.uint8())), (2, 2)),
        (pa.array(LISTS, pa.large_list(pa.uint8())), (2, 2)),
        (pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(pa.uint8())), (1, 3)),
        (pa.array(LINES, pa.list_(pa.list_(pa.uint8(), 3), 2)), (2, 3)),
        (pa.array(LINES, pa.list_(pa.list_(pa.uint8()))), (2, 3)),
        (pa.array(LINES, pa.large_list(pa.list_(pa.uint8(), 3))), (2, 3)),
        (pa.array([[[9]], *LINES, [[9]]], pa.list_(pa.list_(pa.uint8()))).slice(1, 2), (2, 3)),
        (pa.array([[9], *LISTS, [9]], pa.list_(pa.uint8())).slice(1, 2), (2, 2)),
        (tensor(np.arange(16, dtype=np.uint8).reshape(4, 2, 2)).slice(1, 2), (2, 2)),
    ],
)
def test_pixels(pixels, shape):
    (rows,) = rows_of(columns(pixels))
    storage = pixels.storage if isinstance(pixels, pa.ExtensionArray) else pixels
    assert rows.pixels.shape[1:] == shape
    assert rows.pixels.dtype == np.uint8
    flat = rows.pixels.reshape(len(pixels), -1)
    assert (rows.pixels if storage.to_pylist() in (LINES,) else flat).tolist() == storage.to_pylist()


@pytest.mark.parametrize("kind", [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)])
def test_label_types(kind):
    labels = pa.array([9, 0], pa.type_for_alias(kind))
    (rows,) = rows_of(columns(tensor(GRID.reshape(2, 2, 2)), labels))
    assert (rows.labels.dtype, rows.labels.tolist()) == (np.uint8, [9, 0])


def test_other_columns():
    names = ["who", "label", "when", "pixels"]
    them = pa.array(["a", None]), pa.array([1, 2], pa.int8()), pa.array([None, None]), tensor(GRID.reshape(2, 2, 2))
    (rows,) = rows_of(pa.record_batch(list(them), names=names))
    assert [each.tolist() for each in rows] == [GRID.reshape(2, 2, 2).tolist(), [1, 2]]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["pixels", "class"], ("0 columns 'label'", "['pixels', 'class']")),
        (["images", "label"], ("0 columns 'pixels'", "['images', 'label']")),
        (["image", "class"], ("0 columns 'label'", "['image', 'class']")),
        (["a\nb\x1b[2J", "label"], ("0 columns 'pixels'", "['a\\nb\\x1b[2J', 'label']")),
        (["x" * 1_000, "label"], ("0 columns 'pixels'", f"['{'x' * 198}...")),
        (["label", "label"], ("0 columns 'pixels'", "['label', 'label']")),
        (["pixels", "label", "label"], ("2 columns 'label'", "['pixels', 'label', 'label']")),
    ],
)
def test_missing_column(names, expected):
    message, _ = refusal(pa.record_batch([pa.array([1])] * len(names), names=names))
    assert all(part in message for part in expected)


PERMUTED = pa.fixed_shape_tensor(pa.uint8(), (2, 2), permutation=[1, 0])


@pytest.mark.parametrize(
    ("pixels", "remedy"),
    [
        (tensor(np.zeros((2, 2, 2), np.float32)), "0 to 255"),
        (tensor(np.zeros((2, 2, 2), np.int8)), "cast"),
        (tensor(np.zeros((2, 4), np.uint8)), "two axes"),
        (tensor(np.zeros((2, 1, 2, 2), np.uint8)), "two axes"),
        (pa.ExtensionArray.from_storage(PERMUTED, pa.array(LISTS, pa.list_(pa.uint8(), 4))), "permutation"),
        (pa.array([[0.5] * 4] * 2, pa.list_(pa.float32(), 4)), "scale"),
        (pa.array(LISTS, pa.list_(pa.int64())), "cast"),
        (pa.array([[300, 1]] * 2, pa.list_(pa.int64())), "cast"),
        (pa.array([b"1234"] * 2), "decode"),
        (pa.array([b"1234"] * 2, pa.binary(4)), "decode"),
        (pa.array([{"bytes": b"", "path": ""}] * 2), "decode"),
        (pa.array(["1234"] * 2), "as a list"),
        (pa.array([1, 2], pa.uint8()), "one list per image"),
        (pa.array([None, None]), "as a list"),
        (pa.array(["a", "b"]).dictionary_encode(), "as a list"),
        (pa.array([[[[1, 2]]]] * 2, pa.list_(pa.list_(pa.list_(pa.uint8())))), "cast"),
    ],
)
def test_unsupported_pixels(pixels, remedy):
    message, _ = refusal(columns(pixels))
    assert str(pixels.type) in message
    assert remedy in message


@pytest.mark.parametrize(
    "labels",
    [pa.array([1.0, 2.0]), pa.array(["1", "2"]), pa.array([True, False]), pa.array([1, 2]).dictionary_encode()],
)
def test_unsupported_labels(labels):
    message, _ = refusal(columns(tensor(GRID.reshape(2, 2, 2)), labels))
    assert f"labels of type {labels.type}, expected integers" in message


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (pa.array([[], []], pa.list_(pa.uint8(), 0)), " has images of 0 x 0 pixels, expected 1 to 16,777,216"),
        (pa.array([[], []], pa.list_(pa.uint8())), " has images of 0 x 0 pixels, expected 1 to 16,777,216"),
        (pa.array([], pa.list_(pa.uint8(), 1 << 26)), " has images of 8192 x 8192 pixels, expected 1 to 16,777,216"),
        (pa.array([[1], [2, 3]], pa.list_(pa.uint8())), ": row 1 has 2 pixels, expected 1 as in row 0"),
        (
            pa.array([[[]], [[]]], pa.list_(pa.list_(pa.uint8()))),
            " has images of 1 x 0 pixels, expected 1 to 16,777,216",
        ),
        (
            pa.array([LINES[0], LINES[0][:1]], pa.list_(pa.list_(pa.uint8()))),
            ": row 1 has 1 lines, expected 2 as in row 0",
        ),
        (
            pa.array([*LINES, [[1, 2, 3], [4, 5]]], pa.list_(pa.list_(pa.uint8()))),
            ": row 2 has 2 pixels in a line, expected 3 as in row 0",
        ),
    ],
)
def test_image_sizes(pixels, expected):
    assert refusal(columns(pixels))[0] == expected


def test_list_lengths():
    kind = pa.list_(pa.uint8())
    batches = [
        pa.record_batch([pa.array(rows, kind), pa.array([0] * len(rows), pa.int8())], names=["pixels", "label"])
        for rows in (LISTS, [[1, 2, 3, 4], [1, 2, 3]])
    ]
    message, (taken,) = refusal(*batches)
    assert message == ": row 3 has 3 pixels, expected 4 as in row 0"
    assert taken.pixels.tolist() == GRID.reshape(2, 2, 2).tolist()


@pytest.mark.parametrize(("label", "kind"), [(10, "int64"), (-1, "int8"), (2**63, "uint64"), (256, "int16")])
def test_label_out_of_range(label, kind):
    batches = [
        pa.record_batch([tensor(GRID.reshape(2, 2, 2)), pa.array(labels, kind)], names=["pixels", "label"])
        for labels in ([0, 9], [1, label], [1, 2])
    ]
    message, (taken,) = refusal(*batches)
    assert message.startswith(f": the label of row 3 is {label}, expected 0 to 9; ")
    assert taken.labels.tolist() == [0, 9]


@pytest.mark.parametrize(
    ("pixels", "labels", "expected"),
    [
        (tensor(GRID.reshape(2, 2, 2)), pa.array([1, None]), "the label of row 1 is null"),
        (pa.array([None, *LISTS], pa.list_(pa.uint8(), 4)), None, "the pixels of row 0 is null"),
        (pa.array([*LISTS, None], pa.list_(pa.uint8())), None, "the pixels of row 2 is null"),
        (pa.array([*LISTS, [1, 2, None, 4]], pa.list_(pa.uint8(), 4)), None, "pixel 2 of row 2 is null"),
        (pa.array([*LISTS, [None, 2, 3, 4]], pa.large_list(pa.uint8())), None, "pixel 0 of row 2 is null"),
        (pa.array([*LINES, [[1, 2, 3], None]], pa.list_(pa.list_(pa.uint8(), 3), 2)), None, "line 1 of row 2 is null"),
        (
            pa.array([*LINES, [[1, 2, 3], [4, None, 6]]], pa.list_(pa.list_(pa.uint8()))),
            None,
            "pixel 4 of row 2 is null",
        ),
    ],
)
def test_nulls(pixels, labels, expected):
    assert refusal(columns(pixels, labels))[0] == f": {expected}, expected a value"
