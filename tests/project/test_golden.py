"""Six small trainings whose weights have had the same bits since they were first recorded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.cli import train
from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.numerics import arithmetic_fingerprint, libraries
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from tests.support import runs
from tests.support.helpers import inside

LOCAL = {
    "defaults": ["--epochs", "2"],
    "delay": ["--delay", "1", "--hidden", "32", "--epochs", "2"],
    "one row": ["--batch", "1", "--hidden", "16", "--lr", "0.1", "--epochs", "1"],
    "odd": [
        *["--batch", "150", "--microbatch", "32", "--hidden", "20", "--epochs", "3", "--seed", "7"],
        *["--lr-schedule", "inverse", "--lr-half", "50"],
    ],
}
FOLLOW = ["--follow", "--batch", "150", "--microbatch", "32", "--hidden", "20"]
WORKERS = TrainConfig(batch=96, microbatch=16, hidden=30, epochs=2)

# The bits depend on the processor: on the kernels that OpenBLAS and NumPy choose for it. So each fingerprint of the
# arithmetic has its own SHA-256 of the weights. Recorded with OpenBLAS 0.3.31 and NumPy 2.4, at commit e34f2f5.
GOLDEN = {
    "56e5d2dc72e7033414eafed4f1c4dc0f033c8400777a4aba6890409e1d9bb7ef": {  # AVX-512, kernels SkylakeX
        "defaults": "99fd4e44f09549acedd0c437c33eeac0449b68256afdb78f69878c6c85f61d1d",
        "delay": "c0fefaecbdf351876e0e4bc6e93bf51fc3134bbb091f3de5bb14a19f529f0381",
        "one row": "c43fc6c8ff3b0405af160d8c8621e37f9bff737d81167ea134713b4d3d297933",
        "odd": "1bd33417d51bcea3ca5bf6214c753e9314efc3dfecc2b7e6415fbe5b568ae1c0",
        "follow": "94669b338563b8482ae60380db992ed206c1fecf6731e32a7abbace433fc29e6",
        "workers": "12eea02137429db123cac57e8775a6afd2cbce43a8dc05644c6eaefd4f431f3d",
    },
    "a2c4aeafb0a96b50d291cbcdd667d3c7c3f3b89751b448374da47c18a428afa3": {  # AVX2, kernels Haswell
        "defaults": "4f64cb12bb808fcd0c3ce0bbf473e37cd059cafb7ad5baf012abd97c4d181c5e",
        "delay": "c954a7f0c6e0b2d91415e2f68b51b0b5d38d16a4018aea6a069ecacade52a8b6",
        "one row": "dbf0da63737d282fa3c0052b03ed9f33f1f2a82c665a09b6041c0d315477c816",
        "odd": "9caf30c7c73fc6362e6be7887d054f14b00a9ccf29f25d5610181465116165ef",
        "follow": "26084d925ccbb669f500e202e3c2bbbc293923428dae57ed6bd631c2948011c9",
        "workers": "e182931cd18cbdc3dbaf0f776ba49fd8d22f3916f68c45c93d6be863e7f8b169",
    },
}


@pytest.fixture(scope="module")
def golden() -> dict[str, str]:
    """The hashes on this processor."""
    found = arithmetic_fingerprint()
    if found not in GOLDEN:
        pytest.skip(f"no hashes are recorded for the arithmetic {found} of {libraries()}")
    return GOLDEN[found]


@pytest.fixture(scope="module")
def stream(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rows of the sample in train/, and the end marked."""
    folder = tmp_path_factory.mktemp("stream")
    dataset = Dataset(data / "train")
    pixels, labels = dataset.gather(np.arange(len(dataset)))
    with DatasetWriter(folder / "train", (28, 28), 10, shard_rows=700) as writer:
        writer.append(pixels.reshape(-1, 28, 28), labels)
        writer.end()
    return folder


def weights_of(data: Path, run: Path, flags: list[str]) -> str:
    done = inside(train.main, "--no-report", "--data", data, "--run", run, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    result: dict[str, Any] = json.loads((run / "result.json").read_bytes())
    return str(result["weights_sha256"])


@pytest.mark.parametrize("name", LOCAL)
def test_simple(name: str, golden: dict[str, str], data: Path, tmp_path: Path):
    assert weights_of(data, tmp_path / "run", LOCAL[name]) == golden[name]


def test_follow(golden: dict[str, str], stream: Path, tmp_path: Path):
    assert weights_of(stream, tmp_path / "run", FOLLOW) == golden["follow"]


@pytest.mark.ray
def test_three_workers(golden: dict[str, str], data: Path, cluster: Cluster, tmp_path: Path):
    run = tmp_path / "run"
    runs.begin(run, WORKERS, data)
    found = runs.train(RayTrainer(runs.job(data, run, 3, WORKERS), cluster), run)
    assert (found["weights_sha256"], found["steps"]) == (golden["workers"], 84)
