"""The command that adds to a dataset, and marks its end."""

import subprocess

import pytest

from ddmlp.cli import convert
from ddmlp.data.idx import write_idx
from ddmlp.data.manifest import Manifest
from ddmlp.errors import ConfigError
from tests.support.helpers import inside
from tests.support.numbered import read, rows


def test_the_command_appends(tmp_path):
    for name, start in [("one", 0), ("two", 6)]:
        images, labels = rows(6, start)
        write_idx(tmp_path / f"{name}-images", images)
        write_idx(tmp_path / f"{name}-labels", labels % 3)
    out = tmp_path / "out"

    def add(name: str, *flags: str) -> subprocess.CompletedProcess[str]:
        pair = ["--images", tmp_path / f"{name}-images", "--labels", tmp_path / f"{name}-labels"]
        return inside(convert.main, *pair, *flags, out)

    assert add("one", "--append", "--classes", "4").returncode == 0, "there is none yet: it is made"
    refused = add("two")
    assert refused.returncode == 1
    assert refused.stderr.endswith("--append (extend=True)\n")
    done = add("two", "--append")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"added to {out}\n6 rows")
    assert read(out)[0] == list(range(12))
    assert Manifest.read(out).classes == 4
    before = (out / "dataset.json").read_bytes()
    assert "in 4 classes" in add("two", "--append", "--classes", "3").stderr
    assert add("two", "--append", "--overwrite").returncode == ConfigError.exit_status
    assert (out / "dataset.json").read_bytes() == before


def test_a_label_beyond_the_classes(tmp_path):
    images, labels = rows(6)
    write_idx(tmp_path / "images", images)
    for name, most in [("low", 3), ("high", 5)]:
        write_idx(tmp_path / name, labels % most)
    pair = ["--images", tmp_path / "images", "--append", tmp_path / "out", "--labels"]
    assert inside(convert.main, *pair, tmp_path / "low").returncode == 0
    done = inside(convert.main, *pair, tmp_path / "high")
    assert done.returncode == 1
    assert "row 3" in done.stderr
    assert read(tmp_path / "out")[0] == list(range(6))


@pytest.mark.parametrize("how", [[], ["--append"], ["--overwrite"]])
def test_the_command_marks_the_end(tmp_path, how):
    images, labels = rows(6)
    write_idx(tmp_path / "images", images)
    write_idx(tmp_path / "labels", labels)
    pair = ["--images", tmp_path / "images", "--labels", tmp_path / "labels", tmp_path / "out"]
    if how:
        assert inside(convert.main, *pair).returncode == 0
        assert not Manifest.read(tmp_path / "out").ended
    assert inside(convert.main, *pair, "--end", *how).returncode == 0
    assert Manifest.read(tmp_path / "out").ended
    refused = inside(convert.main, *pair, "--append")
    assert refused.returncode == 1
    assert all(each in refused.stderr for each in (str(tmp_path / "out"), "complete", "--overwrite"))
    assert inside(convert.main, *pair, "--overwrite").returncode == 0
    assert not Manifest.read(tmp_path / "out").ended
