"""ddmlp augment: a contact sheet of images and their distortions."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmlp.cli.augment import EPOCHS, main
from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import ConfigError, DatasetError
from ddmlp.reporting.contact_sheet import GAP, GREY
from ddmlp.training.pixel_stage import PixelStage


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 6), np.uint8)
    with DatasetWriter(tmp_path / "data" / "train", (4, 6), 2) as writer:
        writer.append(images, np.zeros(3, np.uint8))
    return Dataset(tmp_path / "data" / "train")


def test_simple(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A line for each image: in its first column the image, then its distortions in epochs 0, 1, ..."""
    out = tmp_path / "sheet.png"
    main([str(tmp_path / "data"), "--show", str(out), "--augment", "affine:rotation=90", "--seed", "3"])
    text = "affine:rotation=90,scale=0.1,shear=0.1,pixels=0"
    printed = capsys.readouterr().out
    assert text in printed
    assert str(out) in printed
    sheet = np.asarray(Image.open(out))
    factor = -(-sheet.shape[1] // ((EPOCHS + 1) * (6 + GAP)))
    sheet = sheet[::factor, ::factor]
    assert sheet.shape == (3 * (4 + GAP) - GAP, (EPOCHS + 1) * (6 + GAP) - GAP)
    stage, rows = PixelStage(None, dataset, 3, text), np.arange(3)
    columns = [dataset.gather(rows)[0], *(stage.apply(rows, epoch) for epoch in range(EPOCHS))]
    assert len({each.tobytes() for each in columns}) == EPOCHS + 1
    for place, column in enumerate(columns):
        for line, image in enumerate(column.reshape(3, 4, 6)):
            top, left = line * (4 + GAP), place * (6 + GAP)
            assert (sheet[top : top + 4, left : left + 6] == image).all()
    assert (sheet[4 : 4 + GAP] == GREY).all()


def test_dataset_itself(dataset: Dataset, tmp_path: Path):
    main([str(dataset.path), "--show", str(tmp_path / "one.PNG")])
    assert (tmp_path / "one.PNG").exists()


@pytest.mark.parametrize(
    ("words", "error", "found"),
    [
        (["data", "--show", "sheet.jpg"], ConfigError, "sheet.jpg"),
        (["data", "--show", "a.png", "--augment", "warp"], ConfigError, "warp"),
        (["data", "--show", "a.png", "--seed", "-1"], ConfigError, "seed is -1"),
        (["none", "--show", "a.png"], DatasetError, "none/train"),
    ],
)
@pytest.mark.usefixtures("dataset")
def test_refused(words: list[str], error: type[Exception], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=found):
        main(words)
    assert not Path("a.png").exists()
