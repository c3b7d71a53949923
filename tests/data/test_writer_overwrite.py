"""Overwriting datasets: only if asked for, only datasets, and no file of others."""

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
    ".dataset.json.swp",  # an editor's, of whoever looks at the manifest
    ".writing-desk.txt",
]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("folder", [False, True])
def test_foreign_files_stay(tmp_path, name, folder):
    place = tmp_path / "data" / name
    precious = place / "thesis.tex" if folder else place
    precious.parent.mkdir(parents=True)
    precious.write_text("words")
    leave(tmp_path / "data")
    with pytest.raises(DatasetError) as caught:
        write(tmp_path / "data", overwrite=True)
    assert str(caught.value) == f"{tmp_path}/data is there already and is no dataset: it is not overwritten"
    write(tmp_path / "other")
    shutil.copytree(tmp_path / "other", tmp_path / "data", dirs_exist_ok=True)
    write(tmp_path / "data", count=8, overwrite=True)
    assert precious.read_text() == "words"
    assert names(tmp_path / "data") == sorted([*listed(tmp_path / "data"), name])


def test_without_overwrite(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    with pytest.raises(DatasetError) as caught:
        DatasetWriter(tmp_path / "data", (2, 2), 10)
    says = "is there already; give --overwrite to replace it, or --append to add to it"
    assert str(caught.value) == f"{tmp_path}/data {says}"
    assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]


def test_overwrite(tmp_path):
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


def test_overwrite_with_equal_data(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    write(tmp_path / "data", overwrite=True)
    assert content(tmp_path / "data") == old
    assert names(tmp_path / "data") == listed(tmp_path / "data")


def test_overwrite_refuses_other_folders(tmp_path):
    precious = tmp_path / "data" / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("words")
    for path in (precious.parent, precious):
        with pytest.raises(DatasetError) as caught:
            DatasetWriter(path, (2, 2), 10, overwrite=True)
        assert str(caught.value) == f"{path} is there already and is no dataset: it is not overwritten"
    assert precious.read_text() == "words"
    assert names(tmp_path) == ["data"]


def test_overwrite_through_a_symbolic_link(tmp_path):
    (tmp_path / "disk").mkdir()
    write(tmp_path / "disk" / "data")
    (tmp_path / "data").symlink_to(tmp_path / "disk" / "data")
    pixels, _ = write(tmp_path / "data", count=8, overwrite=True)
    assert (Dataset(tmp_path / "data").gather(np.arange(8))[0] == pixels.reshape(8, 4)).all()
    assert names(tmp_path) == ["data", "disk"]
    assert (tmp_path / "data").is_symlink()
    assert names(tmp_path / "disk") == ["data"]
    assert names(tmp_path / "disk" / "data") == listed(tmp_path / "data")
