"""The measurement of slow links, with one small cell."""

from pathlib import Path

import numpy as np
import pytest

from ddmlp.config import TrainConfig
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import ConfigError
from tools.benchmarks import shaped_network, slow_links
from tools.benchmarks.processes import in_process
from tools.benchmarks.slow_links import main, measure


def test_not_permitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shaped_network, "why_not", lambda: "no tc")
    with pytest.raises(ConfigError, match="no tc"):
        main([str(tmp_path)])


@pytest.mark.hosts
def test_bytes(tmp_path: Path):
    """Rounded gradients, and updates of the weights by them, take a quarter of the bytes over a slow link."""
    if reason := shaped_network.why_not():
        pytest.skip(f"no shaped links here: {reason}")
    draw = np.random.default_rng(0)
    with DatasetWriter(tmp_path / "train", (28, 28), 10) as writer:
        writer.append(draw.integers(0, 256, (640, 28, 28), np.uint8), draw.integers(0, 10, 640, np.uint8))
    config = TrainConfig(hidden=64, batch=64, microbatch=32, gradient_bits=8)
    whole, packed = (
        in_process(measure, tmp_path, config, packing, slow_links.LINKS["100 Mbit/s"], 0.0) for packing in (False, True)
    )
    array = 4 * 794 * 64
    assert array < whole.up < 1.2 * array
    assert array < whole.down < 1.2 * array
    assert packed.up < 0.4 * whole.up
    assert packed.down < 0.5 * whole.down
