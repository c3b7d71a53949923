"""The command convert: what it says, where, and with which exit status."""

import errno
import gzip
import os
import pty
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ddmlp.cli import convert
from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import write_idx
from tests.support.helpers import inside

COMMAND = [sys.executable, "-m", "ddmlp", "convert"]


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def refusal(status: int, done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert re.fullmatch(r"error: .+\n", done.stderr), done.stderr
    return done.stderr.removeprefix("error: ").strip()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def pair(tmp_path: Path) -> list[object]:
    """The flags for 30 images of 5 x 7 in 3 classes."""
    write_idx(tmp_path / "images", np.random.default_rng(0).integers(0, 256, (30, 5, 7), np.uint8))
    write_idx(tmp_path / "labels", np.arange(30, dtype=np.uint8) % 3)
    return ["--images", tmp_path / "images", "--labels", tmp_path / "labels"]


def test_simple(sample, tmp_path):
    out = tmp_path / "out"
    done = inside(convert.main, sample, out)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        rf"wrote {out}/train\nwrote {out}/test\n5,000 rows in \d+\.\d\d s: [\d,]+ rows/s\n", done.stdout
    )
    assert names(out) == ["test", "train"]
    assert [len(Dataset(out / part)) for part in ("train", "test")] == [4_000, 1_000]
    for part in ("train", "test"):
        Dataset(out / part).verify()


def test_one_pair_makes_one_dataset(pair, tmp_path):
    done = inside(convert.main, *pair, tmp_path / "out", "--shard-rows", 20, "--classes", 4)
    assert (done.returncode, done.stderr) == (0, f"warning: {tmp_path}/out: class 3 has no rows (of 4 classes)\n")
    assert done.stdout.startswith(f"wrote {tmp_path}/out\n30 rows in ")
    manifest = Dataset(tmp_path / "out").manifest
    assert (manifest.image_shape, manifest.classes, [shard.rows for shard in manifest.shards]) == ((5, 7), 4, [20, 10])


def test_overwrite_replaces(pair, tmp_path):
    out = tmp_path / "out"
    assert inside(convert.main, *pair, out).returncode == 0
    old = (out / "dataset.json").read_bytes()
    message = refusal(1, inside(convert.main, *pair, out, "--classes", 9))
    assert [part for part in (str(out), "--overwrite", "--append") if part not in message] == []
    assert (out / "dataset.json").read_bytes() == old
    assert inside(convert.main, *pair, out, "--classes", 9, "--overwrite").returncode == 0
    assert Dataset(out).manifest.classes == 9
    assert names(tmp_path) == ["images", "labels", "out"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a", "b", "--shard-rows", 0], "--shard-rows is 0, expected 1 or more"),
        (["a", "b", "--classes", 0], "--classes is 0, expected 1 to 256"),
        (["a", "b", "--classes", 257], "--classes is 257, expected 1 to 256"),
        (["a", "b", "--first-label", 256], "--first-label is 256, expected 0 to 255"),
        (["a", "b", "--pixel-max", 0], "--pixel-max is 0, expected 1 to 255"),
        (["a", "b", "--images", "x"], "--images and --labels go together"),
        (["a"], "found 1 paths; expected SOURCE and OUT"),
        (["a", "b", "--images", "x", "--labels", "y"], "found 2 paths; OUT alone goes with --images and --labels"),
    ],
)
def test_a_bad_flag_has_exit_status_2(tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    assert refusal(2, inside(convert.main, *arguments)) == expected
    assert names(tmp_path) == []


def test_an_unknown_flag_has_exit_status_2():
    done = inside(convert.main, "a", "b", "--shards", "1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("missing", "{images}: no such file; expected an IDX file, plain or gzip"),
        ("folder", "{images}: Is a directory; expected an IDX file, plain or gzip"),
        ("text", "{images}, byte 0: found text, expected an IDX file"),
        ("short", "{images}, byte 1,060: found a file of 1,060 bytes, expected 1,066"),
        ("gzip", "{images}, byte "),
        ("label", "{labels}: the label at byte 10 (row 2) is 2, expected 0 to 1; --classes"),
    ],
)
def test_a_bad_file_is_one_line(pair, tmp_path, damage, expected):
    images, flags = tmp_path / "images", []
    content = images.read_bytes()
    match damage:
        case "missing" | "folder":
            images.unlink()
            if damage == "folder":
                images.mkdir()
        case "text":
            images.write_bytes(b"hello")
        case "short":
            images.write_bytes(content[:-6])
        case "gzip":
            images.write_bytes(gzip.compress(content)[:-200])
        case "label":
            flags = ["--classes", "2"]
    message = refusal(1, inside(convert.main, *pair, tmp_path / "new" / "out", *flags))
    assert message.startswith(expected.format(images=images, labels=tmp_path / "labels"))
    assert not (tmp_path / "new").exists()


def test_a_source_without_files(tmp_path):
    message = refusal(1, inside(convert.main, tmp_path, tmp_path / "out"))
    assert message.startswith(f"{tmp_path} is empty; expected one of the files train-images-idx3-ubyte, train-")
    assert names(tmp_path) == []


def test_a_full_disk_is_one_line(sample, tmp_path):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    message = refusal(1, run(sample, tmp_path / "out", preexec_fn=limit))
    assert re.fullmatch(rf"{tmp_path}/out/train/\S+: File too large", message), message
    assert names(tmp_path) == []


def test_a_terminal_shows_a_bar(sample, tmp_path):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*COMMAND, str(sample), str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 65_536):
                shown += block
        except OSError:  # so Linux says that nobody has the other end open
            pass
        os.close(ours)
        assert process.stdout.read().startswith(b"wrote ")
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "converting" in text
    assert "5000/5000 rows" in text


@pytest.mark.parametrize("out", ["file", "file/out", "full/out"])
def test_a_bad_target_is_one_line(pair, tmp_path, monkeypatch, out):
    """A file, a folder in a file, and a disk that takes nothing more: it is named, and nothing is left."""
    (tmp_path / "file").touch()
    before = names(tmp_path)

    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if out == "full/out":
        monkeypatch.setattr("pyarrow.ipc.RecordBatchFileWriter.write_batch", write)
    message = refusal(1, inside(convert.main, *pair, tmp_path / out))
    assert message.startswith(str(tmp_path / out))
    assert names(tmp_path) == before
