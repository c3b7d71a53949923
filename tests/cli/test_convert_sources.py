"""The command convert with sources of every kind: its flags, and its memory."""

import subprocess
import sys

import numpy as np
import pytest
from pyarrow import parquet

from ddmlp.cli import convert
from ddmlp.data.dataset import Dataset
from tests.support.helpers import inside
from tests.support.source_files import csv_names, lists, some_rows, write_csv, write_pictures

PIXELS, LABELS = some_rows(20, (4, 4))


def place_of(kind, folder):
    """A file of the rows, whose labels begin at 1."""
    rows = PIXELS, LABELS + 1
    match kind:
        case "parquet":
            parquet.write_table(lists(rows), folder / "some.parquet")
        case "csv":
            write_csv(folder / "some.csv", rows, csv_names((4, 4)))
        case "npz":
            np.savez(folder / "some.npz", images=rows[0], labels=rows[1])
    return folder / f"some.{kind}"


@pytest.mark.parametrize("kind", ["parquet", "csv", "npz"])
def test_flags(tmp_path, kind):
    names = ",".join("abcdefghij")
    flags = ["--transpose", "--first-label", 1, "--class-names", names, "--invert"]
    done = inside(convert.main, place_of(kind, tmp_path), tmp_path / "out", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"wrote {tmp_path}/out\n20 rows in ")
    dataset = Dataset(tmp_path / "out")
    pixels, labels = dataset.gather(np.arange(20))
    assert (pixels.reshape(-1, 4, 4) == 255 - PIXELS.transpose(0, 2, 1)).all()
    assert (labels == LABELS).all()
    assert dataset.manifest.class_names == tuple("abcdefghij")


def test_names_replace_folders(tmp_path):
    """--class-names is stronger than the names of the folders."""
    write_pictures(tmp_path / "some", (PIXELS, LABELS % 2 + 3))
    assert inside(convert.main, tmp_path / "some", tmp_path / "out").returncode == 0
    assert Dataset(tmp_path / "out").manifest.class_names == ("3", "4")
    done = inside(convert.main, tmp_path / "some", tmp_path / "other", "--class-names", "odd,even")
    assert done.returncode == 0, done.stderr
    assert Dataset(tmp_path / "other").manifest.class_names == ("odd", "even")


def test_stream_is_refused(tmp_path):
    done = inside(convert.main, "tcp://localhost:1", tmp_path / "out")
    assert (done.returncode, "tcp://localhost:1 is a stream" in done.stderr) == (2, True)


def peak(source, out) -> int:
    """The most memory of a conversion, in bytes."""
    text = (  # getrusage would have the memory of this process, too
        "import re, sys; from ddmlp.cli.convert import main; main(); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"
    )
    words = [sys.executable, "-c", text, str(source), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return 1024 * int(done.stderr.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["parquet", "csv", "npz"])
def test_memory(tmp_path, kind):
    """It does not grow with the file: 40,000 more images have 31 MB, and 110 MB as CSV."""
    peaks = []
    for count in (20_000, 60_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        pixels, labels = some_rows(count, (28, 28))
        match kind:
            case "parquet":
                parquet.write_table(lists((pixels, labels)), folder / "some.parquet", row_group_size=count)
            case "csv":
                write_csv(folder / "some.csv", (pixels[:2_000], labels[:2_000]), csv_names((28, 28)))
                head, lines = (folder / "some.csv").read_text().split("\n", 1)
                (folder / "some.csv").write_text(f"{head}\n" + count // 2_000 * lines)
            case "npz":
                np.savez_compressed(folder / "some.npz", x=pixels, y=labels)
        peaks.append(peak(folder / f"some.{kind}", folder / "out"))
        del pixels, labels
    assert peaks[1] - peaks[0] < 20_000_000
