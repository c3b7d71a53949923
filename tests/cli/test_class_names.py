"""Names of classes, from the folders of pictures to what recognises, tests and reports."""

import numpy as np
import pytest

from ddmlp.cli import convert, evaluate, predict, report, train
from ddmlp.data.manifest import Manifest
from tests.support.helpers import inside
from tests.support.html import Page
from tests.support.source_files import picture

NAMES = ["left bar", "right bar", "zebra"]


def image(label: int, row: int) -> np.ndarray:
    pixels = np.zeros((28, 28), np.uint8)
    if label == 2:
        pixels[::4] = 255
    else:
        pixels[4:24, 4 + 16 * label : 8 + 16 * label] = 255 - row
    return pixels


@pytest.fixture
def pictures(tmp_path):
    for part, rows in (("train", 20), ("test", 4)):
        for label, name in enumerate(NAMES):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for row in range(rows):
                (folder / f"{row}.png").write_bytes(picture(image(label, row)))
    (tmp_path / "pictures" / "train" / ".DS_Store").touch()
    return tmp_path / "pictures"


@pytest.mark.slow
def test_simple(pictures, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    assert inside(convert.main, pictures, data).returncode == 0
    assert Manifest.read(data / "train").class_names == tuple(NAMES)
    done = inside(train.main, "--data", data, "--run", run, "--epochs", 1, "--hidden", 4, "--batch", 10)
    assert done.returncode == 0, done.stderr
    matrix = inside(evaluate.main, "--model", run).stdout
    assert [name for name in NAMES if name not in matrix] == []
    told = inside(predict.main, "--model", run, pictures / "test" / "zebra" / "0.png").stdout
    assert any(name in told for name in NAMES), told
    assert inside(report.main, run, "--out", tmp_path / "report.html").returncode == 0
    page = Page((tmp_path / "report.html").read_text())
    assert [name for name in NAMES if name not in page.text] == []
    heads = [cells[0] for cells in page.rows("confusion named")]
    assert heads == ["", *(f"{label} {name}" for label, name in enumerate(NAMES))]
