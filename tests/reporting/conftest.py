"""The runs that the reports are about."""

from pathlib import Path

import pytest

from ddmlp.cli import train

SMALL = ["--hidden", "16", "--batch", "100", "--epochs", "2"]
RUNS = {
    "plain": SMALL,
    "late": [*SMALL, "--delay", "2", "--lr", "0.5"],
    "part": [*SMALL, "--stop-after", "50"],
    "stream": ["--hidden", "16", "--follow", "--idle-timeout", "0"],
}


@pytest.fixture(scope="package")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `plain`, `late` with a delay, `part`, which was stopped, and `stream`; not to change."""
    folder = tmp_path_factory.mktemp("report")
    for name, flags in RUNS.items():
        words = ["--data", str(data), "--run", str(folder / name), "--quiet", "--no-report", *flags]
        assert train.main(words) == 0
    return folder
