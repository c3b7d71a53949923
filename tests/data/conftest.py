"""What the tests of shards share."""

from pathlib import Path

import pytest

from tests.support.shards import LABELS, PIXELS, write


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Five rows of 2 x 3 pixels, in record batches of 2."""
    return write(tmp_path / "shard.arrow", PIXELS, LABELS, 2)
