"""Fixtures of the tests of shards."""

from pathlib import Path

import pytest

from tests.support.shards import LABELS, PIXELS, write


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A shard with five rows of 2 x 3 pixels, in record batches of 2."""
    return write(tmp_path / "shard.arrow", PIXELS, LABELS, 2)
