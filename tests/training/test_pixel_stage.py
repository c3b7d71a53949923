"""The stage that changes pixels: of each row, by its number, the seed and the epoch; other functions are refused."""

import ctypes
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.transform import Transform
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import ConfigError, MachineError, TrainingError
from ddmlp.plan.plan import Plan
from ddmlp.plan.stream_plan import StreamPlan
from ddmlp.training import pixel_stage
from ddmlp.training.batch_reader import BatchReader
from ddmlp.training.pixel_stage import PixelStage
from tests.support import floating_point, transforms

ROWS, SEED = 100, 2**64 - 1
HEAD = "import numpy as np\ncalls = []\ndef f(pixels, rows, seed, epoch):\n    "


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Row i has the pixels i, 0 and the label i."""
    path = tmp_path_factory.mktemp("stage") / "train"
    pixels = np.zeros((ROWS, 1, 2), np.uint8)
    pixels[:, 0, 0] = np.arange(ROWS)
    with DatasetWriter(path, (1, 2), ROWS, shard_rows=40) as writer:
        writer.append(pixels, np.arange(ROWS, dtype=np.uint8))
    return Dataset(path)


def stage_of(dataset: Dataset, body: str, **more: Any) -> PixelStage:
    return PixelStage(Transform("x:f", HEAD + body, **more), dataset, SEED)


def test_simple(dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pixel_stage, "CALL", 7)
    stage, rows = PixelStage(transforms.of("drawn"), dataset, SEED), np.array([99, 3, 40, *range(20), 3])
    for epoch in (0, 5):
        pixels, _ = dataset.gather(rows)
        expected = transforms.drawn(pixels.reshape(-1, 1, 2), rows, SEED, epoch)
        found = stage.apply(rows, epoch)
        assert (found == expected.reshape(-1, 2)).all()
        assert found.flags.c_contiguous
    assert (stage.apply(rows, 0) != stage.apply(rows, 5)).any()


def test_what_a_call_gets(dataset: Dataset):
    body = "assert (pixels.dtype, pixels.shape[1:], rows.dtype) == (np.uint8, (1, 2), np.int64)\n"
    body += "    assert (pixels[:, 0, 0] == rows).all() and (type(seed), type(epoch)) == (int, int)\n"
    body += f"    assert seed == {SEED} and not pixels.flags.writeable and not rows.flags.writeable\n    return pixels"
    assert stage_of(dataset, body).apply(np.array([5, 2]), 1)[:, 0].tolist() == [5, 2]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("calls.append(0)\n    return pixels + np.uint8(len(calls))", ["row 0", "again"]),
        (
            "return pixels + np.random.default_rng(seed).integers(0, 99, pixels.shape, np.uint8)",
            ["row 8", "fewer rows"],
        ),
        ("return pixels + np.uint8(len(rows))", ["row 0", "fewer rows"]),
        ("return pixels + (rows == rows[0])[:, None, None].astype(np.uint8)", ["row 8"]),
        ("return pixels[rows.argsort()]", ["another order"]),
        (
            "return pixels.astype(np.float32)",
            ["float32 (16, 1, 2)", "uint8 (16, 1, 2)", "the rows 0, 1, 2 and 13 more"],
        ),
        ("return pixels[:, 0]", ["uint8 (16, 2)", "uint8 (16, 1, 2)"]),
        ("return pixels.tolist()", ["a list", "array"]),
        ("pixels += 1\n    return pixels", ["ValueError", "read-only"]),
        ("raise KeyError(rows[0])", ["KeyError", "epoch 0"]),
        ("raise SystemExit", ["SystemExit"]),
        ("raise ValueError('two\\nlines' + 9_999 * '!')", ["ValueError: two lines!!!"]),
    ],
)
def test_no_function_of_each_row(body: str, words: list[str], dataset: Dataset):
    with pytest.raises(ConfigError) as caught:
        stage_of(dataset, body)
    assert [word for word in ["x:f", *words] if word not in str(caught.value)] == []
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("failing", ["LookupError", "there is no 17", "the rows 4, 17 of epoch 1"]),
        ("wrong", ["float64", "expected uint8"]),
        ("exiting", ["SystemExit"]),
    ],
)
def test_failure_later(name: str, words: list[str], dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pixel_stage.PixelStage, "_check", lambda _: "")
    stage, rows = PixelStage(transforms.of(name), dataset, SEED), np.array([4, 17])
    assert stage.apply(rows, 0).shape == (2, 2)
    with pytest.raises(TrainingError) as caught:
        stage.apply(rows, 1)
    assert [word for word in [f"transforms:{name}", *words] if word not in str(caught.value)] == []


def test_other_pixels_elsewhere(dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    transform = transforms.of("elsewhere")
    transform = replace(transform, answer=PixelStage(transform, dataset, SEED).answer)
    PixelStage(transform, dataset, SEED)
    monkeypatch.setenv("DDMLP_TEST_ELSEWHERE", "1")
    with pytest.raises(MachineError, match="transforms:elsewhere"):
        PixelStage(transform, dataset, SEED)


def test_few_rows(dataset: Dataset, tmp_path: Path):
    """The answer is the same, however many rows of a stream have arrived."""
    with DatasetWriter(tmp_path / "one", (1, 2), ROWS) as writer:
        writer.append(np.zeros((1, 1, 2), np.uint8), np.zeros(1, np.uint8))
    few = PixelStage(transforms.of("drawn"), Dataset(tmp_path / "one"), SEED)
    assert few.answer == PixelStage(transforms.of("drawn"), dataset, SEED).answer


def test_floating_point_mode(dataset: Dataset):
    """A transform that changes the mode is found before the gradient."""
    stage = stage_of(dataset, "return pixels")
    with floating_point.computing("flush"), pytest.raises(MachineError):
        stage.apply(np.array([1]), 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("batch", [6, 5_000])
def test_rows_of_steps(batch: int, stream: bool, dataset: Dataset):
    """A reader has the changed pixels, with the epoch of the step; in a stream it is 0."""
    stage, kind = PixelStage(transforms.of("drawn"), dataset, SEED), StreamPlan if stream else Plan
    plan = kind(ROWS, batch, 4, 3, 3, 10, ROWS)
    reader, unchanged = BatchReader(dataset, stage), BatchReader(dataset)
    for step in range(plan.steps):
        epoch = 0 if stream else plan.epoch(step)
        for found, same in [
            (reader.read(plan, step, 2, 3), unchanged.read(plan, step, 2, 3)),
            (reader.read_steps(plan, step, 3), unchanged.read_steps(plan, step, 3)),
        ]:
            rows = same.labels.astype(np.int64)  # a row's label is its number
            assert (pixels_of(found) == stage.apply(rows, epoch)).all()
            assert (pixels_of(same)[:, 0] == rows).all()
            assert found.labels.tolist() == rows.tolist()
            assert (found.bounds.tolist(), found.fingerprints) == (same.bounds.tolist(), same.fingerprints)


def pixels_of(found: Any) -> np.ndarray:
    return np.array(
        [np.ctypeslib.as_array((ctypes.c_uint8 * 2).from_address(each)) for each in found.addresses.tolist()]
    )
