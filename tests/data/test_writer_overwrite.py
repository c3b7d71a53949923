"""Overwriting: only on request, only datasets, and never other files."""

import shutil

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from tests.support.datasets import content, leave, listed, names, rows_of, write

FOREIGN = [
    "notes.txt",
    "data.arrow",
    "00000.arrow",
    "00000-0123456789ab.arrow.bak",
    "00000-0123456789AB.arrow",
    ".hidden",
    "writing-a1b2c3d4",
    "dataset.json.bak",
    ".dataset.json.swp",  # of an editor that has the manifest open
    ".writing-desk.txt",
]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("folder", [False, True])
def test_other_files_stay(tmp_path, name, folder):
    place = tmp_path / "data" / name
    precious = place / "thesis.tex" if folder else place
    precious.parent.mkdir(parents=True)
    precious.write_text("words")
    leave(tmp_path / "data")
    with pytest.raises(DatasetError) as caught:
        write(tmp_path / "data", overwrite=True)
    assert str(caught.value).startswith(f"{tmp_path}/data already exists, but is not a dataset")
    write(tmp_path / "other")
    shutil.copytree(tmp_path / "other", tmp_path / "data", dirs_exist_ok=True)
    write(tmp_path / "data", count=8, overwrite=True)
    assert precious.read_text() == "words"
    assert names(tmp_path / "data") == sorted([*listed(tmp_path / "data"), name])


def test_existing_dataset(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    with pytest.raises(DatasetError) as caught:
        DatasetWriter(tmp_path / "data", (2, 2), 10)
    assert str(caught.value).startswith(f"{tmp_path}/data already exists; ")
    assert all(each in str(caught.value) for each in ("--overwrite", "overwrite=True", "--append", "extend=True"))
    assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]


def test_simple(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    pixels, labels = rows_of(8, seed=1)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, overwrite=True) as writer:
        writer.append(pixels, labels)
        assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]
    assert len(names(tmp_path / "data")) == 2
    assert names(tmp_path / "data") == listed(tmp_path / "data")
    assert (Dataset(tmp_path / "data").gather(np.arange(8))[1] == labels).all()


def test_equal_data(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    write(tmp_path / "data", overwrite=True)
    assert content(tmp_path / "data") == old
    assert names(tmp_path / "data") == listed(tmp_path / "data")


def test_other_folders(tmp_path):
    precious = tmp_path / "data" / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("words")
    for path in (precious.parent, precious):
        with pytest.raises(DatasetError) as caught:
            DatasetWriter(path, (2, 2), 10, overwrite=True)
        assert str(caught.value).startswith(f"{path} already exists, but is not a dataset")
    assert precious.read_text() == "words"
    assert names(tmp_path) == ["data"]


def test_symbolic_link(tmp_path):
    (tmp_path / "disk").mkdir()
    write(tmp_path / "disk" / "data")
    (tmp_path / "data").symlink_to(tmp_path / "disk" / "data")
    pixels, _ = write(tmp_path / "data", count=8, overwrite=True)
    assert (Dataset(tmp_path / "data").gather(np.arange(8))[0] == pixels.reshape(8, 4)).all()
    assert names(tmp_path) == ["data", "disk"]
    assert (tmp_path / "data").is_symlink()
    assert names(tmp_path / "disk") == ["data"]
    assert names(tmp_path / "disk" / "data") == listed(tmp_path / "data")
