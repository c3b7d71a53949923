"""Datasets of Ray Data: the rows of one iteration, in the order of their blocks; and datasets of ours in Ray Data."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import ddmlp
from ddmlp.errors import ConfigError, DatasetError, DdmlpError, RunError
from ddmlp.ray_backend.cluster import Cluster
from tests.support.api import SMALL
from tests.support.source_files import hugging_face, lists, plain, some_rows

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray Data takes seconds, and warns
PIXELS, LABELS = some_rows(60)
QUICK: dict[str, Any] = {"hidden": 4, "epochs": 1, "progress": False}


@pytest.fixture(autouse=True)
def ray_data(cluster: Cluster) -> Iterator[Any]:  # noqa: ARG001
    """Ray Data, connected to the Ray of the session, and quiet."""
    import ray.data

    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray.data
    logging.getLogger("ray").setLevel(logging.INFO)


def items(**changed: Any) -> list[dict[str, Any]]:
    """The rows as dictionaries; changed: other values of a column, by row."""
    found = [{"pixels": image, "label": int(label)} for image, label in zip(PIXELS, LABELS, strict=True)]
    for column, values in changed.items():
        for row, value in values.items():
            found[row][column] = value
    return found


def fingerprint(data: Any, run: Path) -> str:
    return ddmlp.Dataset(ddmlp.fit(data, run=run, **QUICK).run / "data" / "train").sha256


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fingerprint((PIXELS, LABELS), tmp_path_factory.mktemp("expected") / "run")


def test_simple(ray_data: Any, data: Path, tmp_path: Path):
    """The run is that on the folder, and can be resumed and verified without Ray Data."""
    train, test = (ddmlp.Dataset(data / part).to_ray() for part in ("train", "test"))
    whole = ddmlp.fit(data, run=tmp_path / "whole", **SMALL)
    found = ddmlp.fit(train, test=test, run=tmp_path / "run", stop_after=100, **SMALL)
    found = ddmlp.resume(found.run)
    assert (found.weights_sha256, found.test_error) == (whole.weights_sha256, whole.test_error)
    assert ddmlp.verify(found.run).weights_sha256 == whole.weights_sha256
    assert ddmlp.evaluate(found.model, test).confusion.tolist() == ddmlp.evaluate(whole.model, data).confusion.tolist()
    assert not ray_data.DataContext.get_current().execution_options.preserve_order


def test_order(ray_data: Any, expected: str, tmp_path: Path):
    """That of the blocks, although the first one waits for the last one."""
    first, last, mark, waited = PIXELS[0], PIXELS[50], tmp_path / "last", tmp_path / "waited"

    def late(batch: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        if (batch["pixels"][0] == last).all():
            mark.touch()
        elif (batch["pixels"][0] == first).all():
            while not mark.exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            waited.touch()
        return batch

    dataset = ray_data.from_items(items(), override_num_blocks=6).map_batches(late, batch_size=None)
    assert fingerprint(dataset, tmp_path / "run") == expected
    assert waited.exists()
    assert dataset.context.execution_options.preserve_order is False


@pytest.mark.parametrize(
    "form", ["tensors", "lists", "flat", "pictures", "image", "Parquet", "pandas", "own", "ragged"]
)
def test_forms(form: str, ray_data: Any, expected: str, tmp_path: Path):
    def rows() -> Any:
        if form == "pandas":
            import pandas as pd

            return ray_data.from_pandas(pd.DataFrame({"pixels": list(PIXELS), "label": LABELS}))
        if form == "Parquet":
            parquet.write_table(hugging_face((PIXELS, LABELS)), tmp_path / "rows.parquet", row_group_size=9)
            return ray_data.read_parquet(str(tmp_path / "rows.parquet"))
        if form == "own":
            with ddmlp.DatasetWriter(tmp_path / "own", (4, 4), classes=10, shard_rows=25) as writer:
                writer.append(PIXELS, LABELS)
            return ddmlp.Dataset(tmp_path / "own").to_ray()
        if form == "ragged":  # the block has tensors of several shapes, of which the last is dropped
            return ray_data.from_items([*items(), {"pixels": PIXELS[0, :3], "label": 0}], override_num_blocks=1).limit(
                60
            )
        if form == "image":
            return ray_data.from_arrow(plain((PIXELS, LABELS)).rename_columns(["image", "label"]))
        if form == "flat":
            return ray_data.from_items([{**row, "pixels": row["pixels"].reshape(-1)} for row in items()])
        if form == "tensors":
            return ray_data.from_items(items())
        return ray_data.from_arrow({"lists": lists, "pictures": hugging_face}[form]((PIXELS, LABELS)))

    assert fingerprint(rows(), tmp_path / "run") == expected


def test_names_of_classes(ray_data: Any, tmp_path: Path):
    dataset = ray_data.from_arrow(hugging_face((PIXELS, LABELS), names=[f"digit {each}" for each in range(10)]))
    run = ddmlp.fit(dataset, run=tmp_path / "run", **QUICK).run
    assert ddmlp.Dataset(run / "data" / "train").class_names[7] == "digit 7"


def broken(_: Any) -> Any:
    raise OSError("the disk of the user\x1b has burnt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": {17: None}}, ["label of row 17 is null"]),
        ({"pixels": {17: None}}, ["pixels of "]),
        ({"label": {17: -1}}, ["label of row 17 is -1", "0 to 255"]),
        ({"label": {17: 300}}, ["label of row 17 is 300", "0 to 255"]),
        ({"label": dict.fromkeys(range(60), "7")}, ["labels of type string", "integers"]),
        ({"pixels": {17: PIXELS[0, :3]}}, ["row 17", "(3, 4)", "(4, 4)"]),
        ({"pixels": {row: PIXELS[row] / 255 for row in range(60)}}, ["double", "scale"]),
        ({"pixels": {row: PIXELS[row][..., None] for row in range(60)}}, ["[4,4,1]", "two axes"]),
        ({"pixels": dict.fromkeys(range(60), "x")}, ["type string"]),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_bad_rows(change: Any, words: list[str], ray_data: Any, tmp_path: Path):
    for blocks in (1, 60):
        refused(ray_data.from_items(items(**change), override_num_blocks=blocks), words, tmp_path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda data: data.from_items(items()).map_batches(broken), ["OSError: the disk of the user\\x1b has burnt"]),
        (lambda data: data.from_items(items()).filter(lambda _: False), ["no rows"]),
        (lambda data: data.from_items([]), ["no rows"]),
        (lambda data: data.range(9), ["0 columns 'pixels'", "['id']"]),
        (lambda data: data.from_arrow(pa.table({"pixels": [[1]]})), ["0 columns 'label'"]),
        (lambda data: data.from_items(items()).iterator(), ["DataIteratorImpl", "dataset of Ray Data"]),
    ],
)
def test_bad_datasets(make: Any, words: list[str], ray_data: Any, tmp_path: Path):
    refused(make(ray_data), words, tmp_path)


def refused(data: Any, words: list[str], folder: Path, **more: Any) -> None:
    with pytest.raises((DatasetError, ConfigError)) as caught:
        ddmlp.fit(data, run=folder / "run", **QUICK, **more)
    message = str(caught.value)
    assert message.startswith("data")
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message
    assert [*folder.iterdir()] == []


def test_other_parts(ray_data: Any, tmp_path: Path):
    """What the parts must have in common is checked, too."""
    refused(ray_data.from_items(items()), ["row 5", "0 to 4"], tmp_path, classes=5)
    other = ray_data.from_items([{"pixels": image[:3], "label": 1} for image in PIXELS])
    with pytest.raises(DdmlpError, match="3 x 4"):
        ddmlp.fit(ray_data.from_items(items()), test=other, run=tmp_path / "run", **QUICK)
    assert [*tmp_path.iterdir()] == []
    model = ddmlp.fit((PIXELS, LABELS), run=tmp_path / "run", **QUICK).model
    with pytest.raises(RunError, match="3 x 4"):
        ddmlp.evaluate(model, other)


def test_not_connected(ray_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset = ray_data.from_items(items())
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    refused(dataset, ["not connected"], tmp_path)


def test_room(ray_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.data.sources.ray_dataset.SPARE_BYTES", 1 << 60)
    refused(ray_data.from_items(items()), ["TMPDIR", "1 rows"], tmp_path)


def test_in_ray_data(tmp_path: Path):
    """A dataset of ours: its size is known before a shard is read; a shard that was changed is an error."""
    with ddmlp.DatasetWriter(tmp_path / "own", (4, 4), classes=10, shard_rows=25) as writer:
        writer.append(PIXELS, LABELS)
    dataset = ddmlp.Dataset(tmp_path / "own").to_ray()
    assert dataset.count() == 60
    assert len(dataset.input_files()) == 3
    batch = dataset.take_batch(6)
    assert (batch["pixels"].shape, batch["label"].tolist()) == ((6, 4, 4), [0, 1, 2, 3, 4, 5])
    shard = sorted((tmp_path / "own").glob("*.arrow"))[1]
    content = bytearray(shard.read_bytes())
    content[content.index(PIXELS[30].tobytes())] ^= 1
    shard.write_bytes(content)
    with pytest.raises(Exception, match="is damaged: its SHA-256"):
        dataset.take_all()
